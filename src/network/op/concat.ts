/** Joins tensors along the channels: the inputs keep their channels, the output has all of them. */
import type { OpDefinition } from '../op.ts'
import { channelCount, misfit } from '../operand.ts'

export const concat: OpDefinition = {
  name: 'concat',
  roles: {},

  outputShape(inputs, node) {
    const [first] = inputs
    if (first === undefined || inputs.length < 2) {
      throw misfit(node, 'it takes two inputs or more', inputs.length)
    }
    const sides = JSON.stringify(first.slice(0, -1))
    if (inputs.some((shape) => JSON.stringify(shape.slice(0, -1)) !== sides)) {
      throw misfit(node, 'its inputs must differ in channels only', inputs)
    }
    const channels = inputs.reduce((sum, shape) => sum + channelCount(shape, node), 0)
    return [...first.slice(0, -1), channels]
  },

  forward: (kernels, inputs) => kernels.concat(inputs, (inputs[0]?.rank ?? 1) - 1),
  macs: () => 0,
  channels: (_tracer, inputs) => Int32Array.from(inputs.flatMap((ids) => [...ids])),
  onnx: (emitter, inputs) => emitter.add('Concat', inputs, { axis: 1 })
}
