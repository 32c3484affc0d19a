/**
 * What each model was asked and what that took, from the start of the process on, in the terms of the
 * `statistics` extension of the Open Inference Protocol (Triton's extension_statistics.md).
 */
import type { EngineModel } from './messages.ts'

export interface Durations {
  readonly count: number
  /** Nanoseconds, summed over `count`. */
  readonly ns: number
}

export interface ModelStatistics {
  readonly model: EngineModel
  /** Unix time of the newest answer in milliseconds; 0 before the first. */
  readonly lastInference: number
  /** Images that were answered. */
  readonly inferenceCount: number
  /** Runs of the model, each over a batch of them. */
  readonly executionCount: number
  readonly success: Durations
  readonly fail: Durations
  readonly queue: Durations
  /** Decoding and resizing. */
  readonly computeInput: Durations
  readonly computeInfer: Durations
  readonly computeOutput: Durations
  readonly batches: readonly BatchStatistics[]
}

export interface BatchStatistics {
  readonly size: number
  readonly computeInput: Durations
  readonly computeInfer: Durations
  readonly computeOutput: Durations
}

/** Milliseconds that an engine took for one batch. */
export interface BatchTimes {
  readonly inputMs: number
  readonly inferMs: number
  readonly outputMs: number
}

export interface AnsweredRequest {
  readonly outcome: 'success' | 'fail'
  /** From its admission to its answer. */
  readonly ms: number
}

class Sum {
  #count = 0
  #ms = 0

  add(ms: number, count = 1): void {
    this.#count += count
    this.#ms += ms
  }

  get read(): Durations {
    return { count: this.#count, ns: Math.round(this.#ms * 1e6) }
  }
}

const newTimes = () => ({ input: new Sum(), infer: new Sum(), output: new Sum() })

const newRow = (model: EngineModel) => ({
  model,
  lastInference: 0,
  inferenceCount: 0,
  executionCount: 0,
  success: new Sum(),
  fail: new Sum(),
  queue: new Sum(),
  times: newTimes(),
  batches: new Map<number, ReturnType<typeof newTimes>>()
})
type Row = ReturnType<typeof newRow>

/** Models of which something is remembered; the one that was asked longest ago is forgotten first. */
const mostModels = 1000

export class Statistics {
  readonly #rows = new Map<string, Row>()

  /** An engine has run a batch. `queuedMs`: how long each of its images had waited. */
  batchDone(model: EngineModel, queuedMs: readonly number[], times: BatchTimes): void {
    const row = this.#row(model)
    const size = queuedMs.length
    row.lastInference = Date.now()
    row.inferenceCount += size
    row.executionCount += 1
    for (const ms of queuedMs) row.queue.add(ms)
    const ofSize = row.batches.get(size) ?? newTimes()
    row.batches.set(size, ofSize)
    for (const sums of [row.times, ofSize]) {
      sums.input.add(times.inputMs)
      sums.infer.add(times.inferMs)
      sums.output.add(times.outputMs)
    }
  }

  requestDone(model: EngineModel, { outcome, ms }: AnsweredRequest): void {
    this.#row(model)[outcome].add(ms)
  }

  list(): ModelStatistics[] {
    return [...this.#rows.values()].map(describe)
  }

  #row(model: EngineModel): Row {
    const row = this.#rows.get(model.key) ?? newRow(model)
    this.#rows.delete(model.key)
    this.#rows.set(model.key, row)
    const [oldest] = this.#rows.keys()
    if (this.#rows.size > mostModels && oldest !== undefined) this.#rows.delete(oldest)
    return row
  }
}

function describe(row: Row): ModelStatistics {
  const { model, lastInference, inferenceCount, executionCount, times } = row
  return {
    model,
    lastInference,
    inferenceCount,
    executionCount,
    success: row.success.read,
    fail: row.fail.read,
    queue: row.queue.read,
    ...read(times),
    batches: [...row.batches].map(([size, sums]) => ({ size, ...read(sums) }))
  }
}

const read = ({ input, infer, output }: ReturnType<typeof newTimes>) => ({
  computeInput: input.read,
  computeInfer: infer.read,
  computeOutput: output.read
})
