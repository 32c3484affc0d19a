/**
 * A classifier that is right by construction: 8x8 grey pixels, class 0 `dark`, class 1 `bright`.
 *
 * logit = ±8 * mean of (u - 128) / 128, so a white image is bright with probability 1 - 1e-7.
 */
import type { PublishedReport } from '../../src/contract/report.ts'
import type { Network } from '../../src/network/graph.ts'
import { exportOnnx } from '../../src/onnx/export.ts'

export const brightLabels = ['dark', 'bright']
export const brightNetwork: PublishedReport['network'] = {
  architecture: 'simple-cnn',
  inputSize: 8,
  channels: 1,
  resize: 'stretch'
}

const pixels = 64

const network: Network = {
  format: 'whittle-network-1',
  input: { id: 'images', shape: [8, 8, 1], scale: 1 / 128, zeroPoint: 128 },
  nodes: [
    { id: 'flat', op: 'flatten', inputs: ['images'], attrs: {}, params: {} },
    {
      id: 'logits',
      op: 'dense',
      inputs: ['flat'],
      attrs: {},
      params: { kernel: { name: 'logits/kernel', shape: [pixels, 2] } }
    },
    { id: 'probabilities', op: 'softmax', inputs: ['logits'], attrs: {}, params: {} }
  ],
  output: 'probabilities'
}

/** The ONNX file. `metadata` makes files with different digests. */
export function brightClassifier(metadata: Readonly<Record<string, string>> = {}): Uint8Array {
  const kernel = Float32Array.from(
    { length: 2 * pixels },
    (_, i) => (i % 2 === 0 ? -8 : 8) / pixels
  )
  return exportOnnx({ network, weights: new Map([['logits/kernel', kernel]]), metadata })
}
