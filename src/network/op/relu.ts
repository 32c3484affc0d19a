/** max(x, 0). */
import type { OpDefinition } from '../op.ts'
import { single } from '../operand.ts'

export const relu: OpDefinition = {
  name: 'relu',
  roles: {},
  outputShape: single,
  forward: (kernels, inputs, _params, node) => kernels.relu(single(inputs, node)),
  macs: () => 0,
  channels: (_tracer, inputs, node) => single(inputs, node),
  onnx: (emitter, inputs, node) => emitter.add('Relu', [single(inputs, node)])
}
