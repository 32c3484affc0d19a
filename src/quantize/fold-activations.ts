/**
 * relu and relu6 folded into the quantized range of the node before.
 *
 * A uint8 tensor whose range is [0, max] cannot hold anything negative: saturation does what relu does,
 * and relu6's 6 is the largest value that was seen after it. So the node before is given the range of the
 * activation's output, and the activation goes. One that shares its input with other readers stays.
 */
import type { Network } from '../network/graph.ts'
import { bypass, readersOf } from './rewire.ts'

/** Ops that compute a new tensor and quantize it by a range of their own. */
const requantizing = new Set<string>([
  'conv2d',
  'depthwiseConv2d',
  'dense',
  'batchNorm',
  'add',
  'avgPool',
  'globalAvgPool'
])

export interface FoldedActivations {
  readonly network: Network
  /** By id of a remaining node: the node of the given network whose output gives its range. */
  readonly rangeFrom: ReadonlyMap<string, string>
}

/** The network without foldable activations. Only right when it is quantized by `rangeFrom`. */
export function foldActivations(network: Network): FoldedActivations {
  const readers = readersOf(network)
  const ops = new Map(network.nodes.map(({ id, op }) => [id, op]))
  const gone = new Map<string, string>()
  const rangeFrom = new Map(network.nodes.map(({ id }) => [id, id]))
  for (const { id, op, inputs } of network.nodes) {
    const before = inputs[0] ?? ''
    if (op !== 'relu' && op !== 'relu6') continue
    if (!requantizing.has(ops.get(before) ?? '') || readers.get(before)?.length !== 1) continue
    gone.set(id, before)
    rangeFrom.set(before, id)
    rangeFrom.delete(id)
  }
  return { network: bypass(network, gone), rangeFrom }
}
