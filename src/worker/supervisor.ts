/**
 * Runs one dispatch: claims the attempt, keeps a trainer on it, carries everything between it and the api.
 *
 * The supervisor decides nothing about the job's fate. It reports an outcome; the catalogue counts
 * attempts and decides. When its attempt has been superseded it kills the trainer and says nothing.
 */
import { link, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from 'pino'
import type { Outcome } from '../contract/internal.ts'
import type { Assignment } from '../contract/job.ts'
import type { FromTrainer } from '../contract/trainer.ts'
import { type ApiClient, ApiRefusal, type AttemptClient } from './api-client.ts'
import { fetchDataset } from './dataset-cache.ts'
import { EventOutbox } from './event-outbox.ts'
import { latencyBatch, latencyRuns, latencyThreads } from './measurement.ts'
import { startTrainer, type TrainerEnd, type TrainerProcess } from './trainer-process.ts'

export interface SupervisorOptions {
  readonly api: ApiClient
  readonly log: Logger
  /** host-pid: who says so in the job's log. */
  readonly worker: string
  /** Holds `datasets/`, `packs/` and one scratch folder per attempt. */
  readonly cacheDir: string
  readonly engine: string
  readonly threads: number
  /** How often a running attempt asks for orders. @default 2000 */
  readonly heartbeatMs?: number
  /** How long a trainer may take to write a checkpoint before it is terminated. @default 15_000 */
  readonly graceMs?: number
}

export interface Supervisor {
  /** Runs one dispatch to its end. Never throws. */
  run(
    dispatch: { readonly id: string; readonly dispatch: number },
    lost: AbortSignal
  ): Promise<void>
  /** Attempts that are running. */
  readonly busy: number
  /** Has every trainer checkpoint, releases the jobs, and waits for both. */
  shutdown(): Promise<void>
}

export function createSupervisor(options: SupervisorOptions): Supervisor {
  const running = new Map<Attempt, Promise<void>>()
  let closing = false
  return {
    async run({ id, dispatch }, lost) {
      if (closing) return
      const attempt = new Attempt(options, lost)
      const run = attempt.run(id, dispatch)
      running.set(attempt, run)
      await run.finally(() => running.delete(attempt))
    },
    get busy() {
      return running.size
    },
    async shutdown() {
      closing = true
      for (const attempt of running.keys()) attempt.release()
      await Promise.all(running.values())
    }
  }
}

type Checkpoint = Extract<FromTrainer, { type: 'checkpoint' }>

const heartbeatDefaultMs = 2000
const graceDefaultMs = 15_000
const keptOutput = 20_000

/** One claimed attempt, from claim to outcome. */
class Attempt {
  readonly #options: SupervisorOptions
  readonly #abandoned = new AbortController()
  #log: Logger
  #trainer: TrainerProcess | undefined
  #outbox: EventOutbox | undefined
  #ending: Outcome | undefined
  #checkpoint: Checkpoint | undefined
  #releasing = false
  #cancelled = false
  #progressed = false
  #progress = 0
  #output = ''
  /** Uploads in the order in which the trainer announced them. */
  #transfers: Promise<void> = Promise.resolve()

  constructor(options: SupervisorOptions, lost: AbortSignal) {
    this.#options = options
    this.#log = options.log
    lost.addEventListener('abort', () => this.#abandon('the lock was lost'), { once: true })
  }

  async run(job: string, dispatch: number): Promise<void> {
    const { api, worker } = this.#options
    const { signal } = this.#abandoned
    this.#log = this.#options.log.child({ jobId: job, dispatch })
    try {
      const assignment = await api.claim(job, { dispatch, worker }, signal)
      if (assignment === undefined) {
        this.#log.info('dispatch is not wanted any more')
        return
      }
      this.#log = this.#log.child({ attempt: assignment.attempt })
      await this.#carryOut(assignment, api.attempt(assignment, signal))
    } catch (error) {
      this.#log.error({ err: error }, 'attempt ended without an outcome')
    }
  }

  /** Ends the attempt with a checkpoint; the job goes on elsewhere or later. */
  release(): void {
    this.#releasing = true
    void this.#trainer?.end('checkpoint', this.#options.graceMs ?? graceDefaultMs)
  }

  #abandon(reason: string): void {
    if (this.#abandoned.signal.aborted) return
    this.#log.warn({ reason }, 'attempt abandoned')
    this.#abandoned.abort(new Error(reason))
    void this.#trainer?.end('cancel', 1000)
  }

  async #carryOut(assignment: Assignment, client: AttemptClient): Promise<void> {
    const { cacheDir, heartbeatMs = heartbeatDefaultMs } = this.#options
    await mkdir(join(cacheDir, 'scratch'), { recursive: true })
    const scratch = await mkdtemp(join(cacheDir, 'scratch', `${assignment.job}-`))
    this.#outbox = new EventOutbox((events) => client.sendEvents({ events }))
    const beats = setInterval(() => void this.#beat(client), heartbeatMs)
    try {
      const end = await this.#train(assignment, client, scratch)
      await this.#transfers
      await this.#outbox.close()
      await client.sendOutcome(this.#outcome(end))
    } catch (error) {
      if (isStale(error)) this.#abandon('another attempt has taken over')
      if (this.#abandoned.signal.aborted) return
      this.#log.error({ err: error }, 'attempt failed')
      await client.sendOutcome(this.#crash({ exitCode: null, signal: null }, String(error)))
    } finally {
      clearInterval(beats)
      await this.#trainer?.end('cancel', 1000)
      await rm(scratch, { recursive: true, force: true })
    }
  }

  async #train(
    assignment: Assignment,
    client: AttemptClient,
    scratch: string
  ): Promise<TrainerEnd> {
    const { api, cacheDir, engine, threads } = this.#options
    const { signal } = this.#abandoned
    await mkdir(join(scratch, 'artifacts'))
    const folder = join(cacheDir, 'datasets')
    const dataset = await fetchDataset(api, assignment, { folder, signal })
    for (const { name } of assignment.checkpoints) await this.#fetch(name, client, scratch)
    // Orders that came while nothing was running yet.
    if (this.#releasing || this.#cancelled) return { exitCode: 0, signal: null }
    const trainer = startTrainer({
      engine,
      threads,
      onMessage: (message) => this.#onMessage(message, client, scratch),
      onOutput: (text) => {
        this.#output = (this.#output + text).slice(-keptOutput)
      }
    })
    this.#trainer = trainer
    this.#log.info({ trainer: trainer.pid }, 'trainer started')
    const paths = { scratch, dataset, packs: join(cacheDir, 'packs') }
    trainer.send({ type: 'start', assignment, paths })
    return trainer.ended
  }

  /** A checkpoint that cannot be had is passed over, like one that is damaged: the trainer takes the next. */
  async #fetch(name: string, client: AttemptClient, scratch: string): Promise<void> {
    try {
      await client.getCheckpoint(name, join(scratch, name))
    } catch (error) {
      if (isStale(error) || this.#abandoned.signal.aborted) throw error
      this.#note('warn', `checkpoint ${name} cannot be fetched: ${error}`)
      await rm(join(scratch, name), { force: true })
    }
  }

  #onMessage(message: FromTrainer, client: AttemptClient, scratch: string): void {
    switch (message.type) {
      case 'engine':
        this.#note('info', `engine: ${JSON.stringify(message.engine)}`)
        break
      case 'stage':
        this.#progress = message.progress
        this.#outbox?.add(message)
        break
      case 'metric':
        this.#outbox?.add(message)
        break
      case 'log':
        this.#note(message.level, message.message)
        break
      case 'checkpoint':
        this.#checkpoint = message
        this.#transfer(() => this.#upload(message, client, scratch))
        break
      case 'artifact':
        this.#transfer(() =>
          client.putArtifact(message.file, join(scratch, 'artifacts', message.file), message.sha256)
        )
        break
      case 'measure':
        this.#transfer(() => this.#measure(message.variants, client))
        break
      case 'done':
        this.#ending = { kind: 'completed', report: message.report, stopReason: message.stopReason }
        break
      case 'failed':
        this.#ending = { kind: 'failed', code: message.code, detail: message.detail }
        break
      case 'ended':
        this.#ending = { kind: message.reason === 'cancelled' ? 'cancelled' : 'released' }
        break
      default:
        message satisfies never
    }
  }

  /** Only the newest checkpoint is worth its transfer, and the trainer may remove it at any moment. */
  async #upload(checkpoint: Checkpoint, client: AttemptClient, scratch: string): Promise<void> {
    if (checkpoint !== this.#checkpoint) return
    const { name, sha256 } = checkpoint
    const held = join(scratch, 'upload.safetensors')
    // A second link keeps the bytes. When they are gone already, a newer checkpoint has been announced.
    if (!(await linked(join(scratch, name), held))) return
    await client.putCheckpoint(name, held, sha256).finally(() => rm(held, { force: true }))
    this.#progressed = true
  }

  async #measure(
    variants: Extract<FromTrainer, { type: 'measure' }>['variants'],
    client: AttemptClient
  ): Promise<void> {
    try {
      const { latencies } = await client.measureLatency({
        variants: [...variants],
        batch: latencyBatch,
        threads: latencyThreads,
        runs: latencyRuns
      })
      this.#trainer?.send({ type: 'latency', latencies })
    } catch (error) {
      if (isStale(error)) throw error
      const detail = error instanceof Error ? error.message : String(error)
      this.#trainer?.send({ type: 'latency-failed', detail })
    }
  }

  #transfer(step: () => Promise<void>): void {
    this.#transfers = this.#transfers.then(step)
    this.#transfers.catch((error) => {
      this.#abandon(
        isStale(error) ? 'another attempt has taken over' : `a transfer failed: ${error}`
      )
    })
  }

  #note(level: 'info' | 'warn' | 'error', message: string): void {
    this.#log[level](message)
    this.#outbox?.add({ type: 'log', at: new Date().toISOString(), level, message })
  }

  async #beat(client: AttemptClient): Promise<void> {
    try {
      const { order } = await client.heartbeat({ progress: this.#progress })
      if (order === 'stop') this.#trainer?.send({ type: 'order', order })
      if (order === 'cancel' && !this.#cancelled) {
        this.#cancelled = true
        void this.#trainer?.end('cancel', this.#options.graceMs ?? graceDefaultMs)
      }
    } catch (error) {
      if (isStale(error)) this.#abandon('another attempt has taken over')
      else if (!this.#abandoned.signal.aborted) this.#log.warn({ err: error }, 'heartbeat missed')
    }
  }

  #outcome(end: TrainerEnd): Outcome {
    // What the trainer said last holds, unless it then died of something else than a clean exit.
    const clean = end.exitCode === 0
    if (this.#ending !== undefined && (clean || this.#ending.kind === 'completed'))
      return this.#ending
    if (this.#cancelled) return { kind: 'cancelled' }
    if (this.#releasing) return { kind: 'released' }
    const how = end.signal === null ? `exit code ${end.exitCode}` : `signal ${end.signal}`
    return this.#crash(end, `The trainer ended unasked with ${how}`)
  }

  #crash(end: TrainerEnd, what: string): Outcome {
    const output = this.#output.trim()
    const detail = output === '' ? what : `${what}. Its last output: ${output}`
    return {
      kind: 'crashed',
      ...end,
      progressed: this.#progressed,
      detail: detail.slice(0, 20_000)
    }
  }
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}

const isStale = (error: unknown): boolean =>
  error instanceof ApiRefusal && ['ATTEMPT_STALE', 'JOB_NOT_FOUND'].includes(error.code)
