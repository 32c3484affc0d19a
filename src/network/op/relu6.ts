/** min(max(x, 0), 6): Krizhevsky, "Convolutional Deep Belief Networks on CIFAR-10", 2010. */
import type { OpDefinition } from '../op.ts'
import { single } from '../operand.ts'

export const relu6: OpDefinition = {
  name: 'relu6',
  roles: {},
  outputShape: single,
  forward: (kernels, inputs, _params, node) => kernels.relu6(single(inputs, node)),
  macs: () => 0,
  channels: (_tracer, inputs, node) => single(inputs, node),
  onnx: (emitter, inputs, node) =>
    emitter.add('Clip', [single(inputs, node), emitter.scalar(0), emitter.scalar(6)])
}
