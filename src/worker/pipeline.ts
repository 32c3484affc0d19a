/**
 * A job from its data to its report: the stages in order, each skipped when a checkpoint has its result.
 */
import type { PublishedReport } from '../contract/report.ts'
import type { Pack } from '../dataset/pack.ts'
import type { JobContext } from './job-context.ts'
import { Interrupted } from './orders.ts'
import { emptyState, type PipelineState, type Trained } from './pipeline-state.ts'
import { evaluateStep } from './steps/evaluate.ts'
import { exportStep } from './steps/export.ts'
import { prepare } from './steps/prepare.ts'
import { pruneStep } from './steps/prune.ts'
import { publishStep } from './steps/publish.ts'
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
    const exported = await exportStep(context, pack, trained)
    const report = await evaluateStep(context, pack, exported)
    await publishStep(context, { ...exported, report })
    return { report, stopReason: exported.stopReason }
  } finally {
    pack.close()
  }
}

async function train(context: JobContext, pack: Pack, from: PipelineState): Promise<Trained> {
  const state = await trainStep(context, pack, from)
  const { prune } = context.assignment.recipe
  if (prune === null || state.fineTuned || state.exported.length > 0) return state
  if (state.pruned !== null) return pruneStep(context, pack, { state, options: prune })
  const stopReason = state.stopReason ?? (await stopBeforePruning(context))
  if (stopReason === null) return pruneStep(context, pack, { state, options: prune })
  context.channel.log('warn', 'not pruned: no time was left to fine-tune what it would cut')
  return { ...state, stopReason }
}

/** Why pruning shall not begin, decided once for all attempts; null when it shall. */
async function stopBeforePruning({ decisions }: JobContext): Promise<PipelineState['stopReason']> {
  const order = await decisions.control('prune', 0)
  if (order === 'cancel' || order === 'checkpoint') throw new Interrupted(order)
  return order === 'stop' ? decisions.reason('prune') : null
}
