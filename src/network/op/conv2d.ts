/**
 * Two-dimensional convolution, square stride, HWIO kernel, optional bias.
 *
 * Inputs and outputs have unrelated channels: this is where pruning groups begin and end.
 */
import type { Node } from '../graph.ts'
import type { OpDefinition } from '../op.ts'
import {
  checkVector,
  imageShape,
  misfit,
  param,
  paramShape,
  single,
  tensorParam
} from '../operand.ts'
import { slide, type Window, windowOptions, windowPads } from '../window.ts'

export const conv2d: OpDefinition = {
  name: 'conv2d',
  roles: {
    kernel: { init: 'he-normal', trainable: true, decay: true },
    bias: { init: 'zeros', trainable: true, decay: false, optional: true }
  },

  outputShape(inputs, node) {
    const shape = imageShape(single(inputs, node), node)
    const [, , i, o = 0] = paramShape(node, 'kernel', 4)
    if (i !== shape[2]) throw misfit(node, `kernel axis 2 must be ${shape[2]}`, i)
    checkVector(node, 'bias', o)
    return [...slide(shape, window(node), node), o]
  },

  forward(kernels, inputs, params, node) {
    const kernel = tensorParam(params, 'kernel', node)
    const y = kernels.conv2d(single(inputs, node), kernel, windowOptions(node))
    return params.bias ? kernels.biasAdd(y, params.bias) : y
  },

  macs(inputs, node) {
    const [h = 0, w = 0] = this.outputShape(inputs, node)
    return param(node, 'kernel').shape.reduce((product, side) => product * side, h * w)
  },

  channels(tracer, inputs, node) {
    const [, , , o = 0] = param(node, 'kernel').shape
    const out = tracer.fresh(node.id, o)
    tracer.cut(node.id, 'kernel', 2, single(inputs, node))
    tracer.cut(node.id, 'kernel', 3, out)
    if (node.params.bias) tracer.cut(node.id, 'bias', 0, out)
    return out
  },

  onnx(emitter, inputs, node) {
    const from = imageShape(emitter.shapeOf(single(node.inputs, node)), node)
    const { size, stride } = window(node)
    const operands = [
      single(inputs, node),
      emitter.weight(node, 'kernel', { permutation: [3, 2, 0, 1] })
    ]
    if (node.params.bias) operands.push(emitter.weight(node, 'bias'))
    return emitter.add('Conv', operands, {
      kernel_shape: size,
      strides: [stride, stride],
      pads: windowPads(from, window(node))
    })
  }
}

const window = (node: Node): Window => {
  const [h = 0, w = 0] = param(node, 'kernel').shape
  return { size: [h, w], ...windowOptions(node) }
}
