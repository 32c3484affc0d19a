/** What models are asked, under the names that Triton's dashboards know; read from the engines when asked for. */
import { Counter, type Registry } from 'prom-client'

/** Durations are sums in nanoseconds. */
interface Summed {
  readonly count: number
  readonly ns: number
}

export interface ModelFigures {
  readonly model: {
    readonly serves: { readonly model: string; readonly version: number; readonly variant: string }
  }
  readonly inferenceCount: number
  readonly executionCount: number
  readonly success: Summed
  readonly fail: Summed
  readonly queue: Summed
  readonly computeInput: Summed
  readonly computeInfer: Summed
  readonly computeOutput: Summed
}

/** Those asked last; each has a series per version and variant. */
const mostModels = 100

const microseconds = ({ ns }: Summed): number => Math.round(ns / 1000)

/** What Triton calls them (its docs/user_guide/metrics.md), so that dashboards made for it work. */
const inferenceCounters: readonly (readonly [
  name: string,
  help: string,
  read: (model: ModelFigures) => number
])[] = [
  ['request_success', 'Requests that were answered', ({ success }) => success.count],
  ['request_failure', 'Requests that failed', ({ fail }) => fail.count],
  ['count', 'Images that were answered', ({ inferenceCount }) => inferenceCount],
  ['exec_count', 'Runs of the model, each over a batch', ({ executionCount }) => executionCount],
  ['request_duration_us', 'Time from admission to answer', ({ success }) => microseconds(success)],
  ['queue_duration_us', 'Time that images waited', ({ queue }) => microseconds(queue)],
  [
    'compute_input_duration_us',
    'Time for decoding and resizing',
    ({ computeInput }) => microseconds(computeInput)
  ],
  [
    'compute_infer_duration_us',
    'Time in the model',
    ({ computeInfer }) => microseconds(computeInfer)
  ],
  [
    'compute_output_duration_us',
    'Time for the outputs',
    ({ computeOutput }) => microseconds(computeOutput)
  ]
]

export function addInferenceCounters(
  registry: Registry,
  { engines }: { readonly engines: { readonly statistics: readonly ModelFigures[] } }
): void {
  for (const [name, help, read] of inferenceCounters) {
    new Counter({
      name: `nv_inference_${name}`,
      help,
      labelNames: ['model', 'version', 'variant'],
      registers: [registry],
      collect() {
        this.reset()
        for (const one of engines.statistics.slice(-mostModels)) {
          const { model, version, variant } = one.model.serves
          this.inc({ model, version, variant }, read(one))
        }
      }
    })
  }
}
