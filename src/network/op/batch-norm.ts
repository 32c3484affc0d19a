/**
 * Batch normalisation over the last axis.
 *
 * Ioffe and Szegedy, "Batch Normalization", 2015. arXiv:1502.03167. While training, the statistics of the
 * batch are handed to the context, which owns the running average; there is no momentum here.
 */
import type { Tensor } from '@tensorflow/tfjs-core'
import type { Kernels } from '../../tensor/kernels.ts'
import type { OpDefinition } from '../op.ts'
import { channelCount, checkVector, numberAttr, param, single, tensorParam } from '../operand.ts'

const roles = {
  gamma: { init: 'ones', trainable: true, decay: false },
  beta: { init: 'zeros', trainable: true, decay: false },
  mean: { init: 'zeros', trainable: false, decay: false },
  variance: { init: 'ones', trainable: false, decay: false }
} as const

export const batchNorm: OpDefinition = {
  name: 'batchNorm',
  roles,

  outputShape(inputs, node) {
    const shape = single(inputs, node)
    numberAttr(node, 'epsilon', { min: 1e-12, below: 1 })
    for (const role of Object.keys(roles)) {
      param(node, role)
      checkVector(node, role, channelCount(shape, node))
    }
    return shape
  },

  forward(kernels, inputs, params, node, context) {
    const input = single(inputs, node)
    const gamma = tensorParam(params, 'gamma', node)
    const beta = tensorParam(params, 'beta', node)
    const epsilon = numberAttr(node, 'epsilon', { min: 1e-12, below: 1 })
    const x = asImages(kernels, input)
    if (!context.training) {
      const mean = tensorParam(params, 'mean', node)
      const variance = tensorParam(params, 'variance', node)
      const y = kernels.batchNormInference(x, gamma, beta, { mean, variance, epsilon })
      return asBefore(kernels, y, input)
    }
    const { y, mean, variance } = kernels.batchNormTraining(x, gamma, beta, { epsilon })
    context.onStatistics?.(param(node, 'mean').name, mean)
    context.onStatistics?.(param(node, 'variance').name, variance)
    return asBefore(kernels, y, input)
  },

  macs: () => 0,

  channels(tracer, inputs, node) {
    const ids = single(inputs, node)
    for (const role of Object.keys(roles)) tracer.cut(node.id, role, 0, ids)
    return ids
  },

  onnx(emitter, inputs, node) {
    const operands = Object.keys(roles).map((role) => emitter.weight(node, role))
    const epsilon = numberAttr(node, 'epsilon', { min: 1e-12, below: 1 })
    return emitter.add('BatchNormalization', [single(inputs, node), ...operands], {
      epsilon: { float: epsilon }
    })
  }
}

// The fused TensorFlow op takes four axes only.
const asImages = (kernels: Kernels, x: Tensor): Tensor =>
  x.rank === 2 ? kernels.reshape(x, [x.shape[0] as number, 1, 1, x.shape[1] as number]) : x

const asBefore = (kernels: Kernels, y: Tensor, x: Tensor): Tensor =>
  x.rank === 2 ? kernels.reshape(y, x.shape) : y
