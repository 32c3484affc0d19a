/**
 * A job from its data to its report: the stages in order, each skipped when a checkpoint has its result.
 */
import type { PublishedReport } from '../contract/report.ts'
import type { Pack } from '../dataset/pack.ts'
import type { JobContext, Model } from './job-context.ts'
import { emptyState, type PipelineState } from './pipeline-state.ts'
import { evaluateStep } from './steps/evaluate.ts'
import { type ExportedVariant, exportFloat } from './steps/export.ts'
import { prepare } from './steps/prepare.ts'
import { pruneStep } from './steps/prune.ts'
import { publishStep } from './steps/publish.ts'
import { quantizeStep } from './steps/quantize.ts'
import { trainStep } from './steps/train.ts'

export interface PipelineResult {
  readonly report: PublishedReport
  readonly stopReason: string | null
}

/**
 * @throws Interrupted when told to end; ServiceError for a failure that repeating cannot cure.
 */
export async function runPipeline(context: JobContext): Promise<PipelineResult> {
  const { assignment, checkpoints } = context
  const found = await checkpoints.load(assignment.checkpoints)
  if (found !== undefined) context.channel.log('info', 'going on from a checkpoint')
  const pack = await prepare(context)
  try {
    const trained = await train(context, pack, found ?? emptyState)
    const { baseline, pruned } = trained
    const variants = await exportAll(context, pack, trained)
    const report = await evaluateStep(context, { variants, pack })
    await publishStep(context, { baseline, pruned, report })
    return { report, stopReason: trained.stopReason }
  } finally {
    pack.close()
  }
}

type Trained = PipelineState & { readonly baseline: Model }

async function train(context: JobContext, pack: Pack, from: PipelineState): Promise<Trained> {
  const state = await trainStep(context, pack, from)
  const { prune } = context.assignment.recipe
  if (prune === null || state.fineTuned) return state
  if (state.stopReason !== null && state.pruned === null) {
    context.channel.log('warn', 'not pruned: no time was left to fine-tune what it would cut')
    return state
  }
  return pruneStep(context, pack, { state, options: prune })
}

async function exportAll(
  context: JobContext,
  pack: Pack,
  { baseline, pruned }: Trained
): Promise<ExportedVariant[]> {
  const source = pack.validation
  const variants = [
    await exportFloat(context, baseline, { variant: 'baseline', from: null, source })
  ]
  if (pruned !== null) {
    variants.push(
      await exportFloat(context, pruned, { variant: 'pruned', from: 'baseline', source })
    )
  }
  const { quantize } = context.assignment.recipe
  if (quantize !== null) {
    const model = pruned ?? baseline
    const from = pruned === null ? 'baseline' : 'pruned'
    variants.push(await quantizeStep(context, { model, from, pack, options: quantize }))
  }
  return variants
}
