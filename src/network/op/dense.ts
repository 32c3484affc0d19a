/** Fully connected layer: x [i] times kernel [i, o], optional bias. */
import type { OpDefinition } from '../op.ts'
import {
  checkVector,
  misfit,
  param,
  paramShape,
  single,
  tensorParam,
  vectorLength
} from '../operand.ts'

export const dense: OpDefinition = {
  name: 'dense',
  roles: {
    kernel: { init: 'glorot-uniform', trainable: true, decay: true },
    bias: { init: 'zeros', trainable: true, decay: false, optional: true }
  },

  outputShape(inputs, node) {
    const length = vectorLength(single(inputs, node), node)
    const [i, o = 0] = paramShape(node, 'kernel', 2)
    if (i !== length) throw misfit(node, `kernel axis 0 must be ${length}`, i)
    checkVector(node, 'bias', o)
    return [o]
  },

  forward(kernels, inputs, params, node) {
    const y = kernels.matMul(single(inputs, node), tensorParam(params, 'kernel', node))
    return params.bias ? kernels.biasAdd(y, params.bias) : y
  },

  macs(_inputs, node) {
    const [i = 0, o = 0] = paramShape(node, 'kernel', 2)
    return i * o
  },

  channels(tracer, inputs, node) {
    const [, o = 0] = param(node, 'kernel').shape
    const out = tracer.fresh(node.id, o)
    tracer.cut(node.id, 'kernel', 0, single(inputs, node))
    tracer.cut(node.id, 'kernel', 1, out)
    if (node.params.bias) tracer.cut(node.id, 'bias', 0, out)
    return out
  },

  onnx(emitter, inputs, node) {
    const operands = [single(inputs, node), emitter.weight(node, 'kernel', { channelAxis: 1 })]
    if (node.params.bias) operands.push(emitter.weight(node, 'bias'))
    return emitter.add('Gemm', operands)
  }
}
