/**
 * Kernels of the tensorflow engine: fused TensorFlow ops where tfjs-core would spell them out.
 *
 * Raw ops run outside of the gradient tape, so each brings its gradient through `customGrad`. All of
 * them are recordable: nothing here computes in JavaScript.
 */
import type * as TF from '@tensorflow/tfjs-core'
import type { Tensor, Tensor4D } from '@tensorflow/tfjs-core'
import type { Kernels } from './kernels.ts'
import { type NativeAttribute, type NativeBackend, nativeAttributes } from './native-backend.ts'
import { tensorflowBatchNorm } from './tensorflow-batch-norm.ts'

interface Recorded {
  readonly value: Tensor
  readonly gradFunc: (dy: Tensor, saved: Tensor[]) => Tensor | Tensor[]
}
type Save = (tensors: Tensor[]) => void

const fillModes = { reflect: 'REFLECT', constant: 'CONSTANT', nearest: 'NEAREST' } as const

export const tensorflowKernels = (tf: typeof TF, backend: NativeBackend): Kernels => {
  const { text, float32, int32, bool } = nativeAttributes(backend.binding)
  const T = float32('T')
  const op = (name: string, attributes: readonly NativeAttribute[], ...inputs: Tensor[]) =>
    backend.executeSingleOutput(name, attributes, inputs)
  const unary = (forward: (x: Tensor, save: Save) => Recorded) =>
    tf.customGrad(forward as never) as (x: Tensor) => Tensor
  const binary = (forward: (a: Tensor, b: Tensor, save: Save) => Recorded) =>
    tf.customGrad(forward as never) as (a: Tensor, b: Tensor) => Tensor
  const integers = (values: readonly number[]) => tf.tensor1d([...values], 'int32')

  const activation = (name: string, gradient: string) =>
    unary((x, save) => {
      const value = op(name, [T], x)
      save([value])
      return { value, gradFunc: (dy, [y]) => op(gradient, [T], dy, y as Tensor) }
    })
  const product = (a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean) =>
    op('MatMul', [T, bool('transpose_a', transposeA), bool('transpose_b', transposeB)], a, b)
  const uniform: Kernels['uniform'] = (shape, seed) =>
    op(
      'StatelessRandomUniform',
      [float32('dtype'), int32('T'), int32('Tseed')],
      integers(shape),
      seed
    )

  return {
    ...tensorflowBatchNorm(tf, backend),
    normalize: (images, { scale, zeroPoint }) => tf.mul(tf.sub(images, zeroPoint), scale),
    conv2d: (x, kernel, { stride, padding }) =>
      tf.conv2d(x as Tensor4D, kernel as Tensor4D, stride, padding),
    depthwiseConv2d: (x, kernel, { stride, padding }) =>
      tf.depthwiseConv2d(x as Tensor4D, kernel as Tensor4D, stride, padding),
    matMul: binary((a, b, save) => {
      save([a, b])
      return {
        value: product(a, b, false, false),
        gradFunc: (dy, [a, b]) => [
          product(dy, b as Tensor, false, true),
          product(a as Tensor, dy, true, false)
        ]
      }
    }),
    biasAdd: binary((x, bias) => {
      const attributes = [T, text('data_format', 'NHWC')]
      return {
        value: op('BiasAdd', attributes, x, bias),
        gradFunc: (dy) => [dy.clone(), op('BiasAddGrad', attributes, dy)]
      }
    }),
    relu: activation('Relu', 'ReluGrad'),
    relu6: activation('Relu6', 'Relu6Grad'),
    maxPool: (x, { size, stride, padding }) => tf.maxPool(x as Tensor4D, size, stride, padding),
    avgPool: (x, { size, stride, padding }) => tf.avgPool(x as Tensor4D, size, stride, padding),
    globalAvgPool: unary((x) => {
      const [n, h, w, c] = x.shape as [number, number, number, number]
      const attributes = [T, int32('Tidx'), bool('keep_dims', false)]
      return {
        value: op('Mean', attributes, x, integers([1, 2])), // [n, h, w, c] -> [n, c]
        gradFunc: (dy) => {
          const share = tf.reshape(tf.div(dy, h * w), [n, 1, 1, c])
          return op('BroadcastTo', [T, int32('Tidx')], share, integers([n, h, w, c]))
        }
      }
    }),
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
    softmaxCrossEntropy: (logits, targets) =>
      unary((logits, save) => {
        const name = 'SoftmaxCrossEntropyWithLogits'
        const [loss, slope] = backend.executeMultipleOutputs(name, [T], [logits, targets], 2)
        save([slope as Tensor])
        return {
          value: loss as Tensor,
          gradFunc: (dy, [slope]) => tf.mul(slope as Tensor, tf.reshape(dy, [-1, 1]))
        }
      })(logits),
    projectiveTransform(images, matrices, { height, width, fill }) {
      const attributes = [
        float32('dtype'),
        text('interpolation', 'BILINEAR'),
        text('fill_mode', fillModes[fill])
      ]
      const inputs = [images, matrices, integers([height, width]), tf.scalar(0)] as const
      return op('ImageProjectiveTransformV3', attributes, ...inputs) as Tensor4D
    }
  }
}
