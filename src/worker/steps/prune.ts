/**
 * Prunes the baseline: cut channels, re-estimate batch norm, fine-tune with the unpruned network as teacher.
 *
 * The cut network is checkpointed before its fine-tuning, so that a resumed job fine-tunes the same cut.
 */
import type { PruneOptions, TrainOptions } from '../../contract/recipe.ts'
import type { Pack } from '../../dataset/pack.ts'
import { pruneChannels } from '../../prune/prune.ts'
import { estimateBatchNorm } from '../../train/estimate-batch-norm.ts'
import { meanGradients } from '../../train/mean-gradients.ts'
import type { JobContext, Model } from '../job-context.ts'
import { yieldToOrders } from '../orders.ts'
import type { Trained } from '../pipeline-state.ts'
import { fitStage } from './fit-stage.ts'

/** Training images that statistics and gradients are taken from. */
const sampledImages = 2048

export async function pruneStep(
  context: JobContext,
  pack: Pack,
  { state, options }: { readonly state: Trained; readonly options: PruneOptions }
): Promise<Trained> {
  await yieldToOrders(context)
  const { baseline } = state
  const cut = state.pruned ?? (await cutChannels(context, pack, { baseline, options }))
  const started = { ...state, pruned: cut }
  if (state.pruned === null) await context.checkpoints.write(() => started)
  const tuned = await fineTune(context, pack, { state: started, cut, options })
  const { weights, stopReason } = tuned
  const pruned = { network: cut.network, weights }
  const finished = { ...started, pruned, fit: null, fineTuned: true, stopReason }
  await context.checkpoints.write(() => finished)
  return finished
}

async function cutChannels(
  context: JobContext,
  pack: Pack,
  { baseline, options }: { readonly baseline: Model; readonly options: PruneOptions }
): Promise<Model> {
  const { engine, assignment, channel, progress } = context
  progress.at('prune', 0)
  const { macs, roundTo, criterion } = options
  const sample = {
    engine,
    source: pack.train,
    images: sampledImages,
    seed: assignment.seed,
    beforeBatch: () => yieldToOrders(context)
  }
  const gradients = criterion === 'taylor' ? await meanGradients({ ...baseline, ...sample }) : null
  const { report, ...cut } = pruneChannels(baseline.network, baseline.weights, {
    macs,
    roundTo,
    criterion,
    ...(gradients && { gradients })
  })
  const kept = report.macs.after / report.macs.before
  channel.log(
    report.reached ? 'info' : 'warn',
    `pruned by ${criterion}: ${report.macs.after} of ${report.macs.before} multiply-accumulates are left (${(100 * kept).toFixed(1)} %${report.reached ? '' : `, not the ${(100 * macs).toFixed(1)} % asked for: widths are at their floors`}); widths ${report.groups.map(({ before, after }) => `${before}→${after}`).join(', ')}`
  )
  return { network: cut.network, weights: await estimateBatchNorm({ ...cut, ...sample }) }
}

async function fineTune(
  context: JobContext,
  pack: Pack,
  {
    state,
    cut,
    options
  }: { readonly state: Trained; readonly cut: Model; readonly options: PruneOptions }
) {
  if (options.epochs === 0) return { weights: cut.weights, stopReason: state.stopReason }
  const { temperature, distillWeight } = options
  return fitStage(context, {
    stage: 'prune',
    model: cut,
    pack,
    options: fineTuning(context.assignment.recipe.train, options),
    teacher: { ...state.baseline, temperature, weight: distillWeight },
    state
  })
}

/** Fine-tuning is training with its own length and rate; it starts from good weights, so it never waits. */
const fineTuning = (train: TrainOptions, { epochs, learningRate }: PruneOptions): TrainOptions => ({
  ...train,
  epochs,
  learningRate,
  warmupEpochs: Math.min(train.warmupEpochs, epochs / 4),
  earlyStopping: null
})
