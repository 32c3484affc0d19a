/** Trains the baseline: the recipe's network, from fresh weights. */
import type { Pack } from '../../dataset/pack.ts'
import { buildNetwork } from '../../network/architecture/build.ts'
import { macs, parameters } from '../../network/cost.ts'
import { initialWeights } from '../../network/initialize.ts'
import type { JobContext } from '../job-context.ts'
import type { PipelineState, Trained } from '../pipeline-state.ts'
import { fitStage } from './fit-stage.ts'

export async function trainStep(
  context: JobContext,
  pack: Pack,
  state: PipelineState
): Promise<Trained> {
  const { assignment, channel, checkpoints, progress } = context
  const { network: choice, train: options } = assignment.recipe
  const network = buildNetwork(choice, {
    classes: pack.labels.length,
    scale: 1 / pack.std,
    zeroPoint: Math.round(pack.mean)
  })
  progress.plan(assignment.recipe, network)
  if (state.baseline !== null) return { ...state, baseline: state.baseline }
  channel.log(
    'info',
    `network: ${choice.architecture}, ${parameters(network)} parameters, ${macs(network)} multiply-accumulates`
  )
  const fresh = { network, weights: initialWeights(network, assignment.seed) }
  const { weights, stopReason } = await fitStage(context, {
    stage: 'train',
    model: fresh,
    pack,
    options,
    state
  })
  const trained = { ...state, baseline: { network, weights }, fit: null, stopReason }
  await checkpoints.write(() => trained)
  return trained
}
