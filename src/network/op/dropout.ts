/**
 * Sets a share of the values to zero while training and scales the rest up; nothing else at other times.
 *
 * Srivastava et al., "Dropout", JMLR 2014. The noise is a pure function of the step's seed and the node's id.
 */
import { randomKey } from '../../tensor/random.ts'
import type { OpDefinition } from '../op.ts'
import { misfit, numberAttr, single } from '../operand.ts'

export const dropout: OpDefinition = {
  name: 'dropout',
  roles: {},

  outputShape(inputs, node) {
    numberAttr(node, 'rate', { min: 0, below: 1 })
    return single(inputs, node)
  },

  forward(kernels, inputs, _params, node, { training, seed }) {
    const x = single(inputs, node)
    const rate = numberAttr(node, 'rate', { min: 0, below: 1 })
    if (!training || rate === 0) return x
    if (seed === undefined) throw misfit(node, 'training needs a seed', 'none')
    return kernels.dropout(x, { rate, seed, salt: randomKey(0, node.id).low >>> 1 })
  },

  macs: () => 0,
  channels: (_tracer, inputs, node) => single(inputs, node),
  onnx: (_emitter, inputs, node) => single(inputs, node)
}
