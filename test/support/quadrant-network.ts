/**
 * A network that looks at the top left quarter of 8x8 grey pixels: class 1 `lit` when it is bright.
 *
 * features = pixels / 255, averaged over 2x2; their mean is weighed by 8, so that what is bright anywhere
 * counts, and the image below is bright in the top left only.
 */
import type { Network, Weights } from '../../src/network/graph.ts'

export const quadrantLabels = ['unlit', 'lit']

export const quadrantNetwork: Network = {
  format: 'whittle-network-1',
  input: { id: 'images', shape: [8, 8, 1], scale: 1 / 255, zeroPoint: 0 },
  nodes: [
    {
      id: 'features',
      op: 'avgPool',
      inputs: ['images'],
      attrs: { size: 2, stride: 2, padding: 'valid' },
      params: {}
    },
    { id: 'pooled', op: 'globalAvgPool', inputs: ['features'], attrs: {}, params: {} },
    {
      id: 'logits',
      op: 'dense',
      inputs: ['pooled'],
      attrs: {},
      params: { kernel: { name: 'logits/kernel', shape: [1, 2] } }
    },
    { id: 'probabilities', op: 'softmax', inputs: ['logits'], attrs: {}, params: {} }
  ],
  output: 'probabilities'
}

export const quadrantWeights: Weights = new Map([['logits/kernel', Float32Array.of(-8, 8)]])

/** White in the top left quarter, black elsewhere. */
export const quadrantPixels = Uint8Array.from({ length: 64 }, (_, i) =>
  i % 8 < 4 && i < 32 ? 255 : 0
)
