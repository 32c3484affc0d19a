/**
 * The forward pass of a network: walks the graph with the kernels it is handed.
 *
 * Run eagerly it computes; run under the recorder it becomes the compiled step. It never loads tfjs,
 * never reads a tensor back and holds nothing: intermediate tensors belong to the caller's tidy scope.
 */
import type { Tensor } from '@tensorflow/tfjs-core'
import type { ForwardContext, Kernels } from '../tensor/kernels.ts'
import type { Network, Node } from './graph.ts'
import { misfit, single } from './operand.ts'
import { ops } from './ops.ts'

/** Parameter name → tensor of its ParamRef's shape. */
type ParamTensors = ReadonlyMap<string, Tensor>

export interface ForwardResult {
  /** [n, classes], before softmax: what losses take. */
  readonly logits: Tensor
  /** [n, classes]. */
  readonly probabilities: Tensor
}

/**
 * Logits and probabilities of a batch.
 *
 * @param images float32 pixels 0..255, [n, h, w, c]; normalised here as (x - zeroPoint) * scale.
 * @throws RangeError when a parameter is missing, or dropout is to train without a seed.
 */
export const forward = (
  network: Network,
  kernels: Kernels,
  params: ParamTensors,
  images: Tensor,
  context: ForwardContext
): ForwardResult => {
  const values = forwardAll(network, kernels, params, images, context)
  const output = network.nodes.find((node) => node.id === network.output)
  if (output === undefined) throw new RangeError(`Cannot run: no node '${network.output}'`)
  return {
    logits: lookUp(values, single(output.inputs, output), output),
    probabilities: lookUp(values, output.id, output)
  }
}

/**
 * Every node's output by id, `images` (normalised) included.
 *
 * @throws RangeError as `forward`.
 */
export const forwardAll = (
  network: Network,
  kernels: Kernels,
  params: ParamTensors,
  images: Tensor,
  context: ForwardContext
): ReadonlyMap<string, Tensor> => {
  const values = new Map([[network.input.id as string, kernels.normalize(images, network.input)]])
  for (const node of network.nodes) {
    const inputs = node.inputs.map((id) => lookUp(values, id, node))
    const own = paramsOf(node, params)
    values.set(node.id, ops[node.op].forward(kernels, inputs, own, node, context))
  }
  return values
}

const lookUp = (values: ReadonlyMap<string, Tensor>, id: string, node: Node): Tensor => {
  const value = values.get(id)
  if (value === undefined) throw misfit(node, 'an input must be images or an earlier node', id)
  return value
}

const paramsOf = (node: Node, params: ParamTensors): Readonly<Record<string, Tensor>> =>
  Object.fromEntries(
    Object.entries(node.params).map(([role, { name }]) => {
      const value = params.get(name)
      if (value === undefined) throw misfit(node, `the parameter ${role} must be given`, name)
      return [role, value]
    })
  )
