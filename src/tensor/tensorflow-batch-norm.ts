/**
 * Batch normalisation by TensorFlow's fused kernels, forward and backward.
 *
 * Ioffe and Szegedy 2015. arXiv:1502.03167. FusedBatchNormV3 returns the unbiased variance (n / (n - 1)
 * times the biased one); it is corrected here, so that running statistics mean the same on all engines.
 * The statistics are taken outside of customGrad: what is made inside is disposed with it.
 */
import type * as TF from '@tensorflow/tfjs-core'
import type { Tensor } from '@tensorflow/tfjs-core'
import type { BatchNormOptions, Kernels } from './kernels.ts'
import { type NativeBackend, nativeAttributes } from './native-backend.ts'

type Gradients = [dx: Tensor, dGamma: Tensor, dBeta: Tensor]
type Forward = (
  x: Tensor,
  gamma: Tensor,
  beta: Tensor,
  save: TF.GradSaveFunc
) => {
  value: Tensor
  gradFunc: (dy: Tensor, saved: Tensor[]) => Gradients
}

export const tensorflowBatchNorm = (
  tf: typeof TF,
  backend: NativeBackend
): Pick<Kernels, 'batchNormTraining' | 'batchNormInference'> => {
  const { text, float, float32, bool } = nativeAttributes(backend.binding)
  const attributes = (training: boolean, { epsilon }: BatchNormOptions) => [
    float32('T'),
    float32('U'),
    float('epsilon', epsilon),
    text('data_format', 'NHWC'),
    bool('is_training', training)
  ]
  const forward = (
    training: boolean,
    options: BatchNormOptions,
    inputs: readonly [x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, variance: Tensor]
  ) => {
    const all = [...attributes(training, options), float('exponential_avg_factor', 1)]
    return backend.executeMultipleOutputs('FusedBatchNormV3', all, inputs, 6) as Outputs
  }
  /** Puts a result that was computed off the tape onto it. */
  const withGradient = (
    y: Tensor,
    training: boolean,
    options: BatchNormOptions,
    reserved: readonly Tensor[]
  ) => {
    const record: Forward = (x, gamma, _beta, save) => {
      save([x, gamma, ...reserved])
      return {
        value: y,
        gradFunc: (dy, saved) => {
          const inputs = [dy, ...saved]
          const op = 'FusedBatchNormGradV3'
          return backend
            .executeMultipleOutputs(op, attributes(training, options), inputs, 5)
            .slice(0, 3) as Gradients
        }
      }
    }
    return tf.customGrad(record as never)
  }

  return {
    batchNormTraining(x, gamma, beta, options) {
      const none = tf.tensor1d([])
      const inputs = [x, gamma, beta, none, none] as const
      const [y, mean, unbiased, r1, r2, r3] = forward(true, options, inputs)
      const n = x.size / gamma.size
      const variance = n > 1 ? tf.mul(unbiased, (n - 1) / n) : unbiased
      return { y: withGradient(y, true, options, [r1, r2, r3])(x, gamma, beta), mean, variance }
    },

    batchNormInference(x, gamma, beta, { mean, variance, epsilon }) {
      const inputs = [x, gamma, beta, mean, variance] as const
      const [y, , , , , r3] = forward(false, { epsilon }, inputs)
      return withGradient(y, false, { epsilon }, [mean, variance, r3])(x, gamma, beta)
    }
  }
}

type Outputs = [
  y: Tensor,
  mean: Tensor,
  variance: Tensor,
  reserve1: Tensor,
  reserve2: Tensor,
  reserve3: Tensor
]
