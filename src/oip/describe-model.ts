/**
 * What the Open Inference Protocol says of a model: its tensors, Triton's model configuration
 * (model_config.proto as JSON) and its statistics (extension_statistics.md).
 */
import { imageLimits } from './images.ts'

export interface DescribedModel {
  /** As it was asked for: `digits` or `digits@int8`. */
  readonly name: string
  /** Every version there is. */
  readonly versions: readonly number[]
  readonly input: { readonly name: string; readonly size: number; readonly channels: number }
  readonly output: { readonly name: string; readonly classes: number }
}

export const modelMetadata = ({ name, versions, input, output }: DescribedModel) => ({
  name,
  versions: versions.map(String),
  platform: 'onnx_onnxv1',
  inputs: [
    { name: input.name, datatype: 'UINT8', shape: [-1, input.size, input.size, input.channels] }
  ],
  outputs: [{ name: output.name, datatype: 'FP32', shape: [-1, output.classes] }]
})

interface Instances {
  /** Inference processes that the model may get. */
  readonly engines: number
  /** How long an image may wait for others to fill a batch. */
  readonly maxDelayMs: number
  /** Sizes that batches should have; may be none. */
  readonly preferredSizes: readonly number[]
}

export const modelConfiguration = (
  { name, input, output }: DescribedModel,
  { engines, maxDelayMs, preferredSizes }: Instances
) => ({
  name,
  platform: 'onnxruntime_onnx',
  backend: 'onnxruntime',
  max_batch_size: imageLimits.images,
  input: [
    { name: input.name, data_type: 'TYPE_UINT8', dims: [input.size, input.size, input.channels] }
  ],
  output: [
    {
      name: output.name,
      data_type: 'TYPE_FP32',
      dims: [output.classes],
      label_filename: 'labels.json'
    }
  ],
  dynamic_batching: {
    ...(preferredSizes.length > 0 ? { preferred_batch_size: preferredSizes } : {}),
    max_queue_delay_microseconds: 1000 * maxDelayMs,
    priority_levels: 3,
    default_priority_level: 2
  },
  instance_group: [{ kind: 'KIND_CPU', count: engines }]
})

interface Durations {
  readonly count: number
  readonly ns: number
}

interface Computed {
  readonly computeInput: Durations
  readonly computeInfer: Durations
  readonly computeOutput: Durations
}

/** What is known of one variant, or of several together. */
export interface Counted extends Computed {
  readonly lastInference: number
  readonly inferenceCount: number
  readonly executionCount: number
  readonly success: Durations
  readonly fail: Durations
  readonly queue: Durations
  readonly batches: readonly (Computed & { readonly size: number })[]
}

const none: Durations = { count: 0, ns: 0 }

export const modelStatistics = (
  name: string,
  version: number,
  variants: readonly Counted[]
): object => ({
  name,
  version: String(version),
  last_inference: Math.max(0, ...variants.map(({ lastInference }) => lastInference)),
  inference_count: total(variants, ({ inferenceCount }) => inferenceCount),
  execution_count: total(variants, ({ executionCount }) => executionCount),
  inference_stats: {
    success: sum(variants, ({ success }) => success),
    fail: sum(variants, ({ fail }) => fail),
    queue: sum(variants, ({ queue }) => queue),
    ...computed(variants),
    cache_hit: none,
    cache_miss: none
  },
  batch_stats: batchSizes(variants).map((size) => ({
    batch_size: size,
    ...computed(variants.flatMap(({ batches }) => batches.filter((batch) => batch.size === size)))
  })),
  memory_usage: []
})

const batchSizes = (variants: readonly Counted[]): number[] =>
  [...new Set(variants.flatMap(({ batches }) => batches.map(({ size }) => size)))].sort(
    (a, b) => a - b
  )

const computed = (of: readonly Computed[]) => ({
  compute_input: sum(of, ({ computeInput }) => computeInput),
  compute_infer: sum(of, ({ computeInfer }) => computeInfer),
  compute_output: sum(of, ({ computeOutput }) => computeOutput)
})

const total = <T>(of: readonly T[], read: (one: T) => number): number =>
  of.reduce((all, one) => all + read(one), 0)

const sum = <T>(of: readonly T[], read: (one: T) => Durations): Durations => ({
  count: total(of, (one) => read(one).count),
  ns: total(of, (one) => read(one).ns)
})
