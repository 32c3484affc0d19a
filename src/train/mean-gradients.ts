/**
 * Gradient of the loss in every trainable parameter, averaged over images: what Taylor pruning weighs.
 *
 * Molchanov et al., "Importance Estimation for Neural Network Pruning", 2019. arXiv:1906.10771. The
 * network runs as it will be served: batch norm by its running statistics, dropout off, no augmentation.
 */
import type { Tensor } from '@tensorflow/tfjs-core'
import { forward } from '../network/forward.ts'
import type { Weights } from '../network/graph.ts'
import type { EstimateRequest } from './estimate-batch-norm.ts'
import { smoothTargets } from './loss/label-smoothing.ts'
import { parametersOf, weightVariables } from './parameters.ts'
import { sampleOf } from './sample.ts'
import { pixelTransform } from './transform-pixels.ts'

/** @throws RangeError when the source is empty or does not fit the network. */
export const meanGradients = async (request: EstimateRequest): Promise<Weights> => {
  const { engine, network, weights, source } = request
  const { tf, kernels } = engine
  const sample = sampleOf(source, request)
  const pixels = pixelTransform(engine, network, source, sample.batch)
  const parameters = parametersOf(network)
  const trainable = parameters.filter((parameter) => parameter.trainable)
  const step = engine.compile({
    variables: weightVariables(network, weights),
    inputs: {
      images: { shape: [sample.batch, source.size, source.size, source.channels], dtype: 'uint8' },
      labels: { shape: [sample.batch], dtype: 'int32' },
      ...pixels.inputs
    },
    step(scope, inputs) {
      const values = new Map(parameters.map(({ name }) => [name, scope.read(name)]))
      const images = pixels.apply(inputs.images as Tensor, inputs)
      const slopes = tf.grads((...given: Tensor[]) => {
        const named = trainable.map(({ name }, i) => [name, given[i] as Tensor] as const)
        const params = new Map([...values, ...named])
        const context = { training: false, seed: undefined }
        const { logits } = forward(network, kernels, params, images, context)
        const targets = smoothTargets(tf, inputs.labels as Tensor, logits.shape[1] as number, 0)
        return tf.mean(kernels.softmaxCrossEntropy(logits, targets))
      })(trainable.map(({ name }) => values.get(name) as Tensor))
      return Object.fromEntries(trainable.map(({ name }, i) => [name, slopes[i] as Tensor]))
    }
  })
  try {
    const sums = new Map<string, Float64Array>()
    for await (const { pixels: images, labels, positions } of sample.walk()) {
      await request.beforeBatch?.()
      const gradients = step.run({ images, labels, ...pixels.draw(0, 0, positions) })
      for (const { name } of trainable) {
        addTo(sums, name, gradients[name] as Float32Array)
      }
    }
    return new Map(
      [...sums].map(([name, sum]) => [name, Float32Array.from(sum, (x) => x / sample.batches)])
    )
  } finally {
    step.dispose()
  }
}

const addTo = (sums: Map<string, Float64Array>, name: string, values: Float32Array): void => {
  const sum = sums.get(name) ?? new Float64Array(values.length)
  sums.set(name, sum)
  for (let i = 0; i < values.length; i++) {
    sum[i] = (sum[i] as number) + (values[i] as number)
  }
}
