/**
 * Batch norm folded into the convolution or dense layer before it.
 *
 * Jacob et al., 2017. arXiv:1712.05877, section 3.2. Per output channel o, with the running statistics:
 *
 *   f = gamma / sqrt(variance + epsilon)      kernel'[.., o] = kernel[.., o]·f
 *   bias' = beta + (bias - mean)·f
 *
 * A batch norm whose producer has other readers, or is something else (DenseNet's comes first), stays.
 */
import type { Network, Node, ParamRef, Weights } from '../network/graph.ts'
import { bypass, readersOf } from './rewire.ts'

export interface WeightedNetwork {
  readonly network: Network
  readonly weights: Weights
}

const foldable = new Set<string>(['conv2d', 'depthwiseConv2d', 'dense'])

/** The same function of the images with as few batch norm nodes as possible; ids of the others stay. */
export function foldBatchNorm({ network, weights }: WeightedNetwork): WeightedNetwork {
  const readers = readersOf(network)
  const byId = new Map(network.nodes.map((node) => [node.id, node]))
  const folded = new Map(weights)
  const replaced = new Map<string, Node>()
  const gone = new Map<string, string>()
  for (const norm of network.nodes) {
    if (norm.op !== 'batchNorm') continue
    const before = byId.get(norm.inputs[0] ?? '')
    if (before === undefined || !foldable.has(before.op)) continue
    if (readers.get(before.id)?.length !== 1) continue
    replaced.set(before.id, foldInto(before, norm, folded))
    gone.set(norm.id, before.id)
  }
  const nodes = network.nodes.map((node) => replaced.get(node.id) ?? node)
  return { network: bypass({ ...network, nodes }, gone), weights: folded }
}

/** Changes the kernel and bias in `weights`, drops the batch norm's, and returns the node with a bias. */
function foldInto(node: Node, norm: Node, weights: Map<string, Float32Array>): Node {
  const value = (ref: ParamRef | undefined) => weights.get(ref?.name ?? '')
  const kernelRef = node.params.kernel
  const kernel = value(kernelRef)
  if (kernelRef === undefined || kernel === undefined) {
    throw new RangeError(`Cannot fold ${norm.id}: the kernel of ${node.id} is missing`)
  }
  const variance = value(norm.params.variance) ?? new Float32Array()
  const mean = value(norm.params.mean)
  const [gamma, beta, bias] = [norm.params.gamma, norm.params.beta, node.params.bias].map(value)
  const epsilon = Number(norm.attrs.epsilon)
  const factors = variance.map((v, o) => (gamma?.[o] ?? 1) / Math.sqrt(v + epsilon))
  const channels = factors.length
  const biasRef = node.params.bias ?? { name: `${node.id}/bias`, shape: [channels] }
  for (const ref of Object.values(norm.params)) weights.delete(ref.name)
  // The output channel is the innermost axis of every layout (HWIO, IO; HWIM has i·M + m innermost).
  weights.set(
    kernelRef.name,
    kernel.map((w, i) => w * (factors[i % channels] ?? 0))
  )
  weights.set(
    biasRef.name,
    factors.map((f, o) => (beta?.[o] ?? 0) + ((bias?.[o] ?? 0) - (mean?.[o] ?? 0)) * f)
  )
  return { ...node, params: { ...node.params, bias: biasRef } }
}
