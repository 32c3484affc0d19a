/** Mean over all positions: [h, w, c] → [c]. Lin et al., "Network In Network", 2013. arXiv:1312.4400. */
import type { OpDefinition } from '../op.ts'
import { imageShape, single } from '../operand.ts'

export const globalAvgPool: OpDefinition = {
  name: 'globalAvgPool',
  roles: {},
  outputShape: (inputs, node) => [imageShape(single(inputs, node), node)[2]],
  forward: (kernels, inputs, _params, node) => kernels.globalAvgPool(single(inputs, node)),
  macs: () => 0,
  channels: (_tracer, inputs, node) => single(inputs, node),
  onnx(emitter, inputs, node) {
    const mean = emitter.add('GlobalAveragePool', [single(inputs, node)])
    // Moves nothing, and cancels ONNX Runtime's own transpose of integer graphs, which are channels last.
    const last = emitter.add('Transpose', [emitter.settle(node, mean)], { perm: [0, 2, 3, 1] })
    return emitter.add('Flatten', [emitter.settle(node, last)], { axis: 1 })
  }
}
