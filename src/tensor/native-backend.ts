/**
 * A typed view of what the tensorflow backend of tfjs-node offers below the tfjs API.
 *
 * Its two execute functions run any TensorFlow op by name, which gives us fused kernels; its binding
 * loads and runs saved models, which gives us compiled steps; and wrapping the execute functions
 * records what a function does (`recorder.ts`).
 */
import type { Tensor, TensorInfo } from '@tensorflow/tfjs-core'

export interface TensorMetadata {
  readonly id: number
  readonly shape: number[]
  readonly dtype: number
}

export interface NativeAttribute {
  readonly name: string
  /** One of the binding's TF_ATTR_ numbers. */
  readonly type: number
  readonly value: unknown
}

export interface NativeBinding {
  readonly TF_FLOAT: number
  readonly TF_INT32: number
  readonly TF_UINT8: number
  readonly TF_ATTR_STRING: number
  readonly TF_ATTR_INT: number
  readonly TF_ATTR_FLOAT: number
  readonly TF_ATTR_BOOL: number
  readonly TF_ATTR_TYPE: number
  readonly TF_ATTR_SHAPE: number
  readonly TF_Version: string
  /** Shares the array's memory until the tensor is deleted. */
  createTensor(shape: readonly number[], dtype: number, data: ArrayBufferView): number
  deleteTensor(id: number): void
  /** A copy. */
  tensorDataSync(id: number): Float32Array | Int32Array | Uint8Array
  loadSavedModel(directory: string, tags: string): number
  deleteSavedModel(id: number): void
  runSavedModel(
    id: number,
    inputs: readonly number[],
    inputNames: string,
    outputNames: string
  ): TensorMetadata[]
  getNumOfTensors(): number
  getNumOfSavedModels(): number
  isUsingGpuDevice(): boolean
}

export interface NativeBackend {
  readonly binding: NativeBinding
  executeSingleOutput(
    op: string,
    attributes: readonly NativeAttribute[],
    inputs: readonly TensorInfo[]
  ): Tensor
  executeMultipleOutputs(
    op: string,
    attributes: readonly NativeAttribute[],
    inputs: readonly TensorInfo[],
    outputs: number
  ): Tensor[]
  readSync(dataId: object): Float32Array | Int32Array | Uint8Array
}

/** Makers of typed op attributes. */
export const nativeAttributes = (binding: NativeBinding) => ({
  text: (name: string, value: string) => ({ name, type: binding.TF_ATTR_STRING, value }),
  integers: (name: string, value: readonly number[]) => ({
    name,
    type: binding.TF_ATTR_INT,
    value
  }),
  float: (name: string, value: number) => ({ name, type: binding.TF_ATTR_FLOAT, value }),
  bool: (name: string, value: boolean) => ({ name, type: binding.TF_ATTR_BOOL, value }),
  float32: (name: string) => ({ name, type: binding.TF_ATTR_TYPE, value: binding.TF_FLOAT }),
  int32: (name: string) => ({ name, type: binding.TF_ATTR_TYPE, value: binding.TF_INT32 })
})
