/** Largest value of a square window. Padding never wins: it counts as minus infinity. */
import type { OpDefinition } from '../op.ts'
import { imageShape, integerAttr, single } from '../operand.ts'
import { poolWindow, slide, windowOptions, windowPads } from '../window.ts'

export const maxPool: OpDefinition = {
  name: 'maxPool',
  roles: {},

  outputShape(inputs, node) {
    const shape = imageShape(single(inputs, node), node)
    return [...slide(shape, poolWindow(node), node), shape[2]]
  },

  forward(kernels, inputs, _params, node) {
    const size = integerAttr(node, 'size', { min: 1, max: 256 })
    return kernels.maxPool(single(inputs, node), { size, ...windowOptions(node) })
  },

  macs: () => 0,
  channels: (_tracer, inputs, node) => single(inputs, node),

  onnx(emitter, inputs, node) {
    const window = poolWindow(node)
    const from = imageShape(emitter.shapeOf(single(node.inputs, node)), node)
    return emitter.add('MaxPool', [single(inputs, node)], {
      kernel_shape: window.size,
      strides: [window.stride, window.stride],
      pads: windowPads(from, window)
    })
  }
}
