/**
 * A network ready to answer: the forward pass as a compiled step, with weights that can be replaced.
 *
 * Used for validation after every epoch and to compare exported files with the trainer's own outputs.
 */

import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Tensor } from '@tensorflow/tfjs-core'
import type { ImageSource } from '../image/source.ts'
import { forward } from '../network/forward.ts'
import type { Network, Weights } from '../network/graph.ts'
import type { Engine } from '../tensor/engine.ts'
import { batchReader, inOrder } from './batches.ts'
import { parametersOf, weightVariables } from './parameters.ts'
import { pixelTransform } from './transform-pixels.ts'

export interface ClassifierRequest {
  readonly engine: Engine
  readonly network: Network
  readonly weights: Weights
  readonly source: ImageSource
  readonly batchSize: number
}

export interface Classifier {
  /** Replaces the weights. */
  load(weights: Weights): void
  /**
   * Probabilities [images * classes] of one batch after the other, all images of the source in order.
   * Yields to the event loop before each.
   */
  answers(): AsyncGenerator<Float32Array>
  dispose(): void
}

/** @throws RangeError when the source is empty or does not fit the network. */
export const createClassifier = (request: ClassifierRequest): Classifier => {
  const { engine, network, weights, source, batchSize } = request
  const reader = batchReader(source, batchSize)
  const { size } = reader
  const pixels = pixelTransform(engine, network, source, size)
  const step = engine.compile({
    variables: weightVariables(network, weights),
    inputs: {
      images: { shape: [size, source.size, source.size, source.channels], dtype: 'uint8' },
      ...pixels.inputs
    },
    step(scope, inputs) {
      const params = new Map(parametersOf(network).map(({ name }) => [name, scope.read(name)]))
      const images = pixels.apply(inputs.images as Tensor, inputs)
      const context = { training: false, seed: undefined }
      const { probabilities } = forward(network, engine.kernels, params, images, context)
      return { probabilities }
    }
  })
  return {
    load: (replacement) => step.write(replacement),
    async *answers() {
      const order = inOrder(source.count)
      for (let index = 0; index < reader.count; index++) {
        await nextTurn()
        const batch = reader.read(order, index)
        const drawn = pixels.draw(0, 0, batch.positions)
        const { probabilities } = step.run({ images: batch.pixels, ...drawn })
        const classes = (probabilities as Float32Array).length / size
        yield (probabilities as Float32Array).subarray(0, batch.images * classes)
      }
    },
    dispose: step.dispose
  }
}

/** Answers of several batches as one array. */
export const joined = (rows: readonly Float32Array[]): Float32Array => {
  const all = new Float32Array(rows.reduce((length, row) => length + row.length, 0))
  let offset = 0
  for (const row of rows) {
    all.set(row, offset)
    offset += row.length
  }
  return all
}
