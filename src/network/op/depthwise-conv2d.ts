/**
 * Depthwise convolution, square stride, HWIM kernel (M = multiplier), optional bias.
 *
 * Output channel i * M + m comes from input channel i alone, so both are pruned together.
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

export const depthwiseConv2d: OpDefinition = {
  name: 'depthwiseConv2d',
  roles: {
    kernel: { init: 'he-normal', trainable: true, decay: true },
    bias: { init: 'zeros', trainable: true, decay: false, optional: true }
  },

  outputShape(inputs, node) {
    const shape = imageShape(single(inputs, node), node)
    const [, , i, m = 0] = paramShape(node, 'kernel', 4)
    if (i !== shape[2]) throw misfit(node, `kernel axis 2 must be ${shape[2]}`, i)
    checkVector(node, 'bias', i * m)
    return [...slide(shape, window(node), node), i * m]
  },

  forward(kernels, inputs, params, node) {
    const kernel = tensorParam(params, 'kernel', node)
    const y = kernels.depthwiseConv2d(single(inputs, node), kernel, windowOptions(node))
    return params.bias ? kernels.biasAdd(y, params.bias) : y
  },

  macs(inputs, node) {
    const [h = 0, w = 0] = this.outputShape(inputs, node)
    return param(node, 'kernel').shape.reduce((product, side) => product * side, h * w)
  },

  channels(tracer, inputs, node) {
    const [, , , m = 1] = param(node, 'kernel').shape
    const ids = single(inputs, node)
    const out = Int32Array.from({ length: ids.length * m }, (_, j) => ids[Math.floor(j / m)] ?? -1)
    tracer.cut(node.id, 'kernel', 2, ids)
    if (node.params.bias) tracer.cut(node.id, 'bias', 0, out)
    return out
  },

  onnx(emitter, inputs, node) {
    const from = imageShape(emitter.shapeOf(single(node.inputs, node)), node)
    const [h = 0, w = 0, i = 0, m = 0] = param(node, 'kernel').shape
    const { stride } = window(node)
    const kernel = emitter.weight(node, 'kernel', {
      permutation: [2, 3, 0, 1],
      shape: [i * m, 1, h, w]
    })
    const operands = [single(inputs, node), kernel]
    if (node.params.bias) operands.push(emitter.weight(node, 'bias'))
    return emitter.add('Conv', operands, {
      group: i,
      kernel_shape: [h, w],
      strides: [stride, stride],
      pads: windowPads(from, window(node))
    })
  }
}

const window = (node: Node): Window => {
  const [h = 0, w = 0] = param(node, 'kernel').shape
  return { size: [h, w], ...windowOptions(node) }
}
