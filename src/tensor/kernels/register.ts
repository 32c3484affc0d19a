/** Registers the gradient kernels that the wasm backend lacks; nothing else registers kernels. */
import type * as TF from '@tensorflow/tfjs-core'
import { conv2dBackpropFilter } from './conv2d-backprop-filter.ts'
import { depthwiseConv2dBackpropFilter } from './depthwise-conv2d-backprop-filter.ts'
import { depthwiseConv2dBackpropInput } from './depthwise-conv2d-backprop-input.ts'

type Composite = (tf: typeof TF, inputs: never, attributes: never) => TF.Tensor4D

export const registerMissingKernels = (tf: typeof TF): void => {
  const register = (kernelName: string, composite: Composite) =>
    tf.registerKernel({
      kernelName,
      backendName: 'wasm',
      kernelFunc: ({ inputs, attrs }) =>
        composite(tf, tensorsOf(tf, inputs) as never, attrs as never)
    })
  register(tf.Conv2DBackpropFilter, conv2dBackpropFilter)
  register(tf.DepthwiseConv2dNativeBackpropFilter, depthwiseConv2dBackpropFilter)
  register(tf.DepthwiseConv2dNativeBackpropInput, depthwiseConv2dBackpropInput)
}

/** Kernels are handed tensors where ops were called with tensors; a bare TensorInfo is wrapped. */
const tensorsOf = (tf: typeof TF, inputs: TF.NamedTensorInfoMap) =>
  Object.fromEntries(
    Object.entries(inputs).flatMap(([name, info]) =>
      info === undefined
        ? []
        : [[name, info instanceof tf.Tensor ? info : tf.engine().makeTensorFromTensorInfo(info)]]
    )
  )
