/**
 * [h, w, c] → [h * w * c], row, column, channel.
 *
 * The exported graph is channels first, so a transpose comes before. It costs nothing: ONNX Runtime computes
 * in layouts of its own, and bringing them into our order is no more work than into any other (measured).
 */
import type { OpDefinition } from '../op.ts'
import { imageShape, single } from '../operand.ts'

export const flatten: OpDefinition = {
  name: 'flatten',
  roles: {},

  outputShape(inputs, node) {
    const [h, w, c] = imageShape(single(inputs, node), node)
    return [h * w * c]
  },

  forward(kernels, inputs, _params, node) {
    const x = single(inputs, node)
    const [n = 0, ...sides] = x.shape
    return kernels.reshape(x, [n, sides.reduce((product, side) => product * side, 1)])
  },

  macs: () => 0,

  channels(_tracer, inputs, node, shapes) {
    const ids = single(inputs, node)
    const [h, w] = imageShape(single(shapes, node), node)
    return Int32Array.from({ length: h * w * ids.length }, (_, i) => ids[i % ids.length] ?? -1)
  },

  onnx(emitter, inputs, node) {
    const x = single(inputs, node)
    const [h, w] = imageShape(emitter.shapeOf(single(node.inputs, node)), node)
    if (h * w === 1) return emitter.add('Flatten', [x], { axis: 1 })
    const lastAxis = emitter.add('Transpose', [x], { perm: [0, 2, 3, 1] })
    return emitter.add('Flatten', [emitter.settle(node, lastAxis)], { axis: 1 })
  }
}
