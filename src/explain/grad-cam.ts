/**
 * Where in its last feature map a network finds what speaks for a label.
 *
 * Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization",
 * ICCV 2017, equations 1 and 2. arXiv:1610.02391:
 *
 *   α_k = 1/Z Σ_ij ∂y/∂A_ij^k      L = ReLU(Σ_k α_k A^k)
 *
 * with A the last feature map (after its pooling: a maximum of equals, such as the zeros that a ReLU leaves,
 * has no one gradient, and engines differ), and y how far the label's logit lies above the mean of all. The
 * paper takes the logit as it is; but what is added to all logits changes no probability. Only what comes
 * after A is differentiated. The ReLU is left to whoever shows the map, so that it keeps what speaks against
 * the label; in a network that flattens its map, where a feature counts differently at each place, the mean
 * gradient can speak against it everywhere.
 */
import type { Tensor } from '@tensorflow/tfjs-core'
import type { HeatMap } from '../contract/explanation.ts'
import { forwardAll } from '../network/forward.ts'
import type { Network, Node, Weights } from '../network/graph.ts'
import type { Engine } from '../tensor/engine.ts'

export interface GradCamOptions {
  readonly engine: Pick<Engine, 'tf' | 'kernels'>
  readonly network: Network
  readonly weights: Weights
  /** uint8 [h, w, c]. */
  readonly pixels: Uint8Array
  /** Class index; null for the predicted one. */
  readonly label: number | null
}

export interface GradCam {
  readonly label: number
  readonly score: number
  /** Σ_k α_k A^k, [rows][columns] of A. */
  readonly map: HeatMap
}

const context = { training: false, seed: undefined }

/** @throws RangeError when a node after the last feature map also reads an earlier one. */
export function gradCam(options: GradCamOptions): GradCam {
  const { engine, network, pixels, label: wanted } = options
  const { tf, kernels } = engine
  return tf.tidy(() => {
    const params = parameters(options)
    const images = tf.tensor(Float32Array.from(pixels), [1, ...network.input.shape])
    const values = forwardAll(network, kernels, params, images, context)
    const probabilities = nodeValue(values, network.output).dataSync()
    const label = wanted ?? probabilities.indexOf(Math.max(...probabilities))
    const { features, tail } = split(network, values)
    const logits = tail.nodes.find(({ id }) => id === network.output)?.inputs[0] ?? ''
    const logitOf = (map: Tensor): Tensor => {
      const found = nodeValue(forwardAll(tail, kernels, params, map, context), logits)
      return tf.sub(tf.sum(tf.slice(found, [0, label], [1, 1])), tf.mean(found))
    }
    const gradients = tf.grad(logitOf)(features)
    const importance = tf.mean(gradients, [1, 2], true)
    const map = tf.sum(tf.mul(importance, features), 3)
    const [score = 0] = [probabilities[label]]
    return { label, score, map: (map.arraySync() as HeatMap[])[0] ?? [] }
  })
}

function parameters({ engine, network, weights }: GradCamOptions): Map<string, Tensor> {
  const refs = network.nodes.flatMap(({ params }) => Object.values(params))
  return new Map(
    refs.map(({ name, shape }) => [
      name,
      engine.tf.tensor(weights.get(name) ?? new Float32Array(), [...shape])
    ])
  )
}

/** The last feature map, and the rest of the network as one that takes it for its images. */
function split(network: Network, values: ReadonlyMap<string, Tensor>) {
  const isMap = ({ id }: Node): boolean => {
    const [, height = 1, width = 1, ...rest] = nodeValue(values, id).shape
    return rest.length === 1 && height * width > 1
  }
  const at = network.nodes.findLastIndex(isMap)
  const last = network.nodes[at]
  if (last === undefined) throw new RangeError('Cannot explain: the network has no feature map')
  const { id } = network.input
  const rename = (input: string): string => (input === last.id ? id : input)
  const nodes = network.nodes.slice(at + 1).map((node) => {
    if (node.inputs.includes(id)) throw new RangeError(`Cannot explain: ${node.id} reads the image`)
    return { ...node, inputs: node.inputs.map(rename) }
  })
  // As it is: the map has been normalised already.
  const tail = { ...network, input: { ...network.input, scale: 1, zeroPoint: 0 }, nodes }
  return { features: nodeValue(values, last.id), tail }
}

function nodeValue(values: ReadonlyMap<string, Tensor>, id: string): Tensor {
  const value = values.get(id)
  if (value === undefined) throw new RangeError(`Cannot explain: no node gives '${id}'`)
  return value
}
