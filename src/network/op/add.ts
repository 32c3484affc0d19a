/** Sum of two tensors of one shape: the shortcut of a residual block. Ties the channels of both. */
import type { OpDefinition } from '../op.ts'
import { misfit, pair } from '../operand.ts'

export const add: OpDefinition = {
  name: 'add',
  roles: {},

  outputShape(inputs, node) {
    const [a, b] = pair(inputs, node)
    if (a.length !== b.length || a.some((side, axis) => side !== b[axis])) {
      throw misfit(node, 'its inputs must have one shape', inputs)
    }
    return a
  },

  forward: (kernels, inputs, _params, node) => kernels.add(...pair(inputs, node)),
  macs: () => 0,

  channels(tracer, inputs, node) {
    const [a, b] = pair(inputs, node)
    tracer.tie(a, b)
    return a
  },

  onnx: (emitter, inputs, node) => emitter.add('Add', pair(inputs, node))
}
