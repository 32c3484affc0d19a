/**
 * Latency as this host serves it: the serving runtime, a fresh process, nothing else beside it.
 *
 * One measurement at a time in the whole api. Variants take turns in short rounds, so that a slow
 * minute of the host slows all of them alike; a host that does not calm down is reported as noisy,
 * never averaged away.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { cpus } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Latency, VariantName } from '../contract/report.ts'
import { ServiceError } from '../errors.ts'
import { machine } from '../runtime/machine.ts'
import type { FromMeter, MeterOrder } from './measure-process.ts'
import { type Summary, summarize } from './summarize-times.ts'

export interface MeasureRequest {
  readonly variants: readonly { readonly variant: VariantName; readonly path: string }[]
  /** Images of one run. */
  readonly batch: number
  readonly threads: number
  /** Timed runs of each variant; fewer when they would take longer than two minutes. */
  readonly runs: number
  /** Ends the measurement, and its process. */
  readonly signal?: AbortSignal
}

/** Waiting for a calm host, in all, and measuring again when a measurement disagrees with itself. */
const [patienceMs, attempts] = [10_000, 3]
/** Share of all cores that others may use while the host counts as calm. */
const calmShare = 0.25
/** Between two readings of the processor clocks. */
const sampleMs = 250

let turn: Promise<unknown> = Promise.resolve()

/**
 * Measures every variant at the given batch size and thread count: median and 90th percentile of
 * one run in milliseconds, and whether the host was too busy to believe them.
 *
 * @throws ServiceError MODEL_INVALID when a file cannot be loaded, ENGINE_CRASHED when the process
 *   ends; the signal's reason when it aborts.
 */
export function measureLatency(request: MeasureRequest): Promise<Record<string, Latency>> {
  const result = turn.then(() => measure(request))
  turn = result.catch(() => {})
  return result
}

async function measure(request: MeasureRequest): Promise<Record<string, Latency>> {
  request.signal?.throwIfAborted()
  const giveUpAt = performance.now() + patienceMs
  let calmest: { readonly spread: number; readonly summaries: readonly Summary[] } | undefined
  let isCalm = false
  for (let attempt = 0; attempt < attempts; attempt++) {
    isCalm = await waitForCalm(giveUpAt)
    request.signal?.throwIfAborted()
    const summaries = (await run(request)).map(summarize)
    const spread = Math.max(...summaries.map((summary) => summary.spread))
    if (calmest === undefined || spread < calmest.spread) calmest = { spread, summaries }
    if (summaries.every(({ noisy }) => !noisy) || !isCalm) break
  }
  const { batch, threads } = request
  const host = machine()
  return Object.fromEntries(
    request.variants.map(({ variant }, i) => {
      const { medianMs = 0, p90Ms = 0, runs = 0, noisy = true } = calmest?.summaries[i] ?? {}
      return [
        variant,
        { batch, threads, medianMs, p90Ms, runs, noisy: noisy || !isCalm, machine: host }
      ]
    })
  )
}

/** Times in ms of each variant, by round. */
async function run(request: MeasureRequest): Promise<number[][][]> {
  const { signal, variants, batch, threads, runs } = request
  const child = fork(fileURLToPath(new URL('./measure-process.ts', import.meta.url)), {
    execArgv: [],
    env: {},
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    ...(signal ? { signal, killSignal: 'SIGKILL' as const } : {})
  })
  const exited = once(child, 'exit').then(([code, how]) => {
    throw new ServiceError('ENGINE_CRASHED', {
      detail: `Cannot measure: the process ended, received ${how ?? `exit code ${code}`}`
    })
  })
  const answered = once(child, 'message').then(([message]) => message as FromMeter)
  answered.catch(() => {})
  try {
    const order: MeterOrder = { paths: variants.map(({ path }) => path), batch, threads, runs }
    child.send(order, () => {}) // a failed write is followed by `exit`
    const message = await Promise.race([answered, exited])
    if ('detail' in message) throw new ServiceError('MODEL_INVALID', { detail: message.detail })
    return message.times
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  } finally {
    exited.catch(() => {})
    child.kill('SIGKILL')
  }
}

/** Whether the host became calm before `giveUpAt`. Looks at least once. */
async function waitForCalm(giveUpAt: number): Promise<boolean> {
  for (;;) {
    const before = processorTimes()
    await sleep(sampleMs)
    const after = processorTimes()
    const passed = after.total - before.total
    if (passed > 0 && (after.busy - before.busy) / passed <= calmShare) return true
    if (performance.now() >= giveUpAt) return false
  }
}

function processorTimes(): { busy: number; total: number } {
  let [busy, total] = [0, 0]
  for (const { times } of cpus()) {
    const used = times.user + times.nice + times.sys + times.irq
    busy += used
    total += used + times.idle
  }
  return { busy, total }
}
