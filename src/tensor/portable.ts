/**
 * Kernels in plain tfjs-core: the wasm engine, and the reference for the fused ones.
 *
 * Gradients are tfjs-core's own except where its composition would be long or would need a kernel that
 * wasm lacks.
 */
import type * as TF from '@tensorflow/tfjs-core'
import type { Tensor, Tensor4D } from '@tensorflow/tfjs-core'
import type { Kernels } from './kernels.ts'
import { Random } from './random.ts'

type Save = (tensors: Tensor[]) => void

export const portableKernels = (tf: typeof TF): Kernels => {
  const uniform: Kernels['uniform'] = (shape, seed) => {
    const [high = 0, low = 0] = seed.dataSync()
    const random = new Random({ high, low })
    const size = shape.reduce((product, length) => product * length, 1)
    const noise = Float32Array.from({ length: size }, () => (random.word() >>> 8) * 2 ** -24)
    return tf.tensor(noise, [...shape])
  }

  return {
    normalize: (images, { scale, zeroPoint }) => tf.mul(tf.sub(images, zeroPoint), scale),
    conv2d: (x, kernel, { stride, padding }) =>
      tf.conv2d(x as Tensor4D, kernel as Tensor4D, stride, padding),
    depthwiseConv2d: (x, kernel, { stride, padding }) =>
      tf.depthwiseConv2d(x as Tensor4D, kernel as Tensor4D, stride, padding),
    matMul: (x, kernel) => tf.matMul(x, kernel),
    biasAdd: (x, bias) => tf.add(x, bias),
    batchNormTraining(x, gamma, beta, { epsilon }) {
      const axes = x.shape.slice(0, -1).map((_, axis) => axis)
      const { mean, variance } = tf.moments(x, axes)
      const deviation = tf.rsqrt(tf.add(variance, epsilon))
      const normalise = normaliseWithGradient(tf, axes)
      return { y: normalise(x, gamma, beta, mean, deviation), mean, variance }
    },
    batchNormInference: (x, gamma, beta, { mean, variance, epsilon }) => {
      const scale = tf.mul(gamma, tf.rsqrt(tf.add(variance, epsilon)))
      return tf.add(tf.mul(tf.sub(x, mean), scale), beta)
    },
    relu: (x) => tf.relu(x),
    relu6: (x) => tf.relu6(x),
    maxPool: (x, { size, stride, padding }) => tf.maxPool(x as Tensor4D, size, stride, padding),
    avgPool: (x, { size, stride, padding }) => tf.avgPool(x as Tensor4D, size, stride, padding),
    globalAvgPool: (x) => tf.mean(x, [1, 2]), // [n, h, w, c] -> [n, c]
    add: (a, b) => tf.add(a, b),
    concat: (xs, axis) => tf.concat([...xs], axis),
    reshape: (x, shape) => tf.reshape(x, [...shape]),
    softmax: (x) => tf.softmax(x),
    uniform,
    dropout(x, { rate, seed, salt }) {
      const noise = uniform(x.shape, tf.add(seed, tf.tensor1d([salt, 0], 'int32')))
      const keep = tf.cast(tf.greaterEqual(noise, rate), 'float32')
      return tf.mul(x, tf.mul(keep, 1 / (1 - rate)))
    },
    softmaxCrossEntropy(logits, targets) {
      const forward = (logits: Tensor, save: Save) => {
        const shifted = tf.sub(logits, tf.max(logits, 1, true))
        const logProbabilities = tf.sub(shifted, tf.log(tf.sum(tf.exp(shifted), 1, true)))
        save([tf.sub(tf.exp(logProbabilities), targets)])
        const gradFunc = (dy: Tensor, [slope]: Tensor[]) =>
          tf.mul(slope as Tensor, tf.expandDims(dy, 1))
        return { value: tf.neg(tf.sum(tf.mul(targets, logProbabilities), 1)), gradFunc }
      }
      return tf.customGrad(forward as never)(logits)
    },
    projectiveTransform: (images, matrices, { height, width, fill }) =>
      tf.tidy(() => {
        const moved = fill === 'reflect' ? aheadOfZero(tf, matrices, images) : matrices
        return tf.image.transform(images, moved as TF.Tensor2D, 'bilinear', fill, 0, [
          height,
          width
        ])
      })
  }
}

/**
 * The same reflections, read at coordinates that are not negative: wasm 4.22 mirrors negative ones wrongly
 * (to the far edge), positive ones rightly. Reflection repeats every two image sides, so each coordinate
 * moves by a multiple of that, more than any augmentation reaches: x' = x + s, a' = a + s c, c2 = 1.
 */
const aheadOfZero = (tf: typeof TF, matrices: Tensor, { shape }: Tensor4D): Tensor => {
  const periods = 8
  const [, height, width] = shape
  const [x, y] = [2 * periods * width, 2 * periods * height]
  const shear = tf.tensor2d([
    [x, 0, 0, y, 0, 0, 0, 0],
    [0, x, 0, 0, y, 0, 0, 0]
  ])
  const perspective = tf.slice(matrices, [0, 6], [-1, 2])
  const shift = tf.tensor1d([0, 0, x, 0, 0, y, 0, 0])
  return tf.add(tf.add(matrices, tf.matMul(perspective as TF.Tensor2D, shear)), shift)
}

/**
 * y = gamma * (x - mean) * deviation + beta, where mean and deviation are statistics of x: their share
 * of the gradient is in the closed form (Ioffe and Szegedy 2015, section 3), so they come in from outside.
 */
const normaliseWithGradient =
  (tf: typeof TF, axes: number[]) =>
  (x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, deviation: Tensor): Tensor => {
    const forward = (x: Tensor, gamma: Tensor, beta: Tensor, save: Save) => {
      const normal = tf.mul(tf.sub(x, mean), deviation)
      const n = x.size / gamma.size
      save([normal, tf.mul(gamma, deviation)])
      const gradFunc = (dy: Tensor, [normal, slope]: [Tensor, Tensor]) => {
        const dBeta = tf.sum(dy, axes)
        const dGamma = tf.sum(tf.mul(dy, normal), axes)
        const common = tf.add(tf.div(dBeta, n), tf.mul(normal, tf.div(dGamma, n)))
        return [tf.mul(tf.sub(dy, common), slope), dGamma, dBeta]
      }
      return { value: tf.add(tf.mul(normal, gamma), beta), gradFunc }
    }
    return tf.customGrad(forward as never)(x, gamma, beta)
  }
