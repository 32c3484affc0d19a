/** exp(x) / sum(exp(x)): logits to probabilities. The classes are fixed: nothing here may be pruned. */
import type { OpDefinition } from '../op.ts'
import { single, vectorLength } from '../operand.ts'

export const softmax: OpDefinition = {
  name: 'softmax',
  roles: {},
  outputShape: (inputs, node) => [vectorLength(single(inputs, node), node)],
  forward: (kernels, inputs, _params, node) => kernels.softmax(single(inputs, node)),
  macs: () => 0,
  channels(tracer, inputs, node) {
    const ids = single(inputs, node)
    tracer.fix(ids)
    return ids
  },
  onnx: (emitter, inputs, node) => emitter.add('Softmax', [single(inputs, node)], { axis: 1 })
}
