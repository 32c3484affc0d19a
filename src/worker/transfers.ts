/**
 * What an attempt sends to the api in the order in which its trainer announced it: checkpoints,
 * artifacts, the request to time them.
 *
 * What was told before a checkpoint is stored before it is, so that a job that resumes there has no gap
 * in its metrics.
 */
import { link, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { FromTrainer, ToTrainer } from '../contract/trainer.ts'
import { ApiRefusal, isStale } from './api-call.ts'
import type { AttemptClient } from './api-client.ts'
import type { EventOutbox } from './event-outbox.ts'
import { latencyBatch, latencyRuns, latencyThreads } from './measurement.ts'

type Message<T extends FromTrainer['type']> = Extract<FromTrainer, { type: T }>

export interface TransfersOptions {
  readonly client: AttemptClient
  readonly outbox: EventOutbox
  readonly scratch: string
  readonly answer: (message: ToTrainer) => void
  /** Told when a transfer has failed; nothing is sent after it. */
  readonly onFailure: (error: unknown) => void
}

export class Transfers {
  readonly #options: TransfersOptions
  #last: Promise<void> = Promise.resolve()
  #newest: string | undefined
  /** Whether the api has got a checkpoint of this attempt. */
  progressed = false

  constructor(options: TransfersOptions) {
    this.#options = options
  }

  add(message: Message<'checkpoint' | 'artifact' | 'measure'>): void {
    if (message.type === 'checkpoint') this.#newest = message.name
    this.#last = this.#last.then(() => this.#send(message))
    this.#last.catch(this.#options.onFailure)
  }

  /** Settles when everything has been sent. @throws what the first failure threw */
  settled(): Promise<void> {
    return this.#last
  }

  async #send(message: Message<'checkpoint' | 'artifact' | 'measure'>): Promise<void> {
    if (message.type === 'checkpoint') return this.#sendCheckpoint(message)
    if (message.type === 'measure') return this.#measure(message)
    const { client, scratch } = this.#options
    const { file, sha256 } = message
    await client.putArtifact(file, { file: join(scratch, 'artifacts', file), sha256 })
  }

  /** Only the newest is worth its transfer, and the trainer may remove it at any moment. */
  async #sendCheckpoint(message: Message<'checkpoint'>): Promise<void> {
    const { name, sha256, bytes, seconds, damaged } = message
    const { client, outbox, scratch, answer } = this.#options
    if (name !== this.#newest) return
    const held = join(scratch, 'upload.safetensors')
    // A second link keeps the bytes. When they are gone already, a newer checkpoint has been announced.
    if (!(await linked(join(scratch, name), held))) return
    try {
      await outbox.flush()
      const took = await client.putCheckpoint(name, { file: held, sha256, damaged })
      this.progressed = true
      answer({ type: 'checkpoint-kept', name, seconds: took })
      outbox.add({ type: 'checkpoint', seconds: seconds + took, bytes })
    } finally {
      await rm(held, { force: true })
    }
  }

  async #measure({ variants }: Message<'measure'>): Promise<void> {
    const { client, answer } = this.#options
    const question = { batch: latencyBatch, threads: latencyThreads, runs: latencyRuns }
    try {
      const { latencies } = await client.measureLatency({ ...question, variants: [...variants] })
      answer({ type: 'latency', latencies })
    } catch (error) {
      // Only what the api says of the files concerns the trainer.
      if (isStale(error) || !(error instanceof ApiRefusal)) throw error
      answer({ type: 'latency-failed', detail: error.message })
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
