/**
 * A trainer at work on one attempt, and all that is around it: what it says is sorted and passed on,
 * what it takes is watched, and how it ended becomes an outcome.
 */
import { join } from 'node:path'
import type { Outcome } from '../contract/internal.ts'
import type { Assignment } from '../contract/job.ts'
import type { FromTrainer, TrainerPaths } from '../contract/trainer.ts'
import { DamagedDataset } from '../dataset/damaged-dataset.ts'
import { packName } from '../dataset/pack.ts'
import type { Tracing } from '../trace/tracing.ts'
import { AllowanceWatch, type Excess } from './allowance.ts'
import type { AttemptClient } from './api-client.ts'
import type { EventOutbox } from './event-outbox.ts'
import { inputOf } from './input-of.ts'
import { readMemoryKills } from './memory-evidence.ts'
import { type Farewell, type Ordered, outcomeOf } from './outcome.ts'
import { StageSpans } from './stage-spans.ts'
import { startTrainer, type TrainerProcess } from './trainer-process.ts'
import { Transfers, type TransfersOptions } from './transfers.ts'

export type LogLevel = 'info' | 'warn' | 'error'

export interface TrainingOptions {
  readonly assignment: Assignment
  /** When it was handed out, on the clock of performance.now(). */
  readonly claimedAt: number
  readonly paths: TrainerPaths
  readonly engine: string
  readonly threads: number
  /** How often to look at what the trainer takes. */
  readonly watchMs: number
  readonly client: AttemptClient
  readonly outbox: EventOutbox
  readonly note: (level: LogLevel, message: string) => void
  /** Something around the trainer has failed; it is not ended by that. */
  readonly onFailure: (error: unknown) => void
  readonly tracing: Tracing
}

const keptOutput = 20_000

export class Training {
  readonly #options: TrainingOptions
  readonly #transfers: Transfers
  readonly #trainer: TrainerProcess
  readonly #watch: AllowanceWatch
  readonly #over = new AbortController()
  readonly #stages: StageSpans
  readonly #killsBefore = readMemoryKills()
  #farewell: Farewell | undefined
  #excess: Excess | undefined
  #damage: string | undefined
  #output = ''
  /** Of the whole job, 0..1. */
  progress = 0

  /** Starts the trainer. @throws PutOff when the system will have none; it may also say so later */
  constructor(options: TrainingOptions) {
    this.#options = options
    const { assignment, paths, engine, threads, client, outbox, onFailure, tracing } = options
    this.#stages = new StageSpans(tracing, assignment.trace)
    const answer: TransfersOptions['answer'] = (message) => this.#trainer.send(message)
    this.#transfers = new Transfers({ client, outbox, scratch: paths.scratch, answer, onFailure })
    this.#trainer = startTrainer({
      engine,
      threads: assignment.environment?.threads ?? threads,
      onMessage: (message) => this.#onMessage(message),
      onOutput: (text) => {
        this.#output = (this.#output + text).slice(-keptOutput)
      }
    })
    this.#watch = this.#startWatch()
    this.#trainer.send({ type: 'start', assignment: this.#sinceClaim(), paths })
  }

  get pid(): number {
    return this.#trainer.pid
  }

  /** Whether the api has got a checkpoint of this attempt. */
  get progressed(): boolean {
    return this.#transfers.progressed
  }

  /** Has the trainer end its stage early and publish. */
  stop(): void {
    this.#trainer.send({ type: 'order', order: 'stop' })
  }

  /** Has the trainer end, in one way or another; resolves when it is gone. */
  async end(order: 'cancel' | 'checkpoint', graceMs: number): Promise<void> {
    await this.#trainer.end(order, graceMs)
  }

  /**
   * Waits for the trainer's end and for what it has handed over.
   *
   * @param ordered what the trainer has been told to end for, by then
   * @throws what the first transfer that failed threw; DamagedDataset; PutOff when there was no trainer
   */
  async outcome(ordered: () => Ordered | undefined): Promise<Outcome> {
    const end = await this.#trainer.ended.finally(() => this.#over.abort())
    this.#stages.end()
    if (this.#excess !== undefined) return this.#excess
    await this.#transfers.settled()
    if (this.#damage !== undefined) throw new DamagedDataset(this.#damage)
    return outcomeOf({
      end,
      farewell: this.#farewell,
      ordered: ordered(),
      progressed: this.progressed,
      output: this.#output,
      killsBefore: this.#killsBefore,
      killsAfter: readMemoryKills(),
      peak: this.#watch.peak
    })
  }

  /** Downloads take of the job's seconds too: the catalogue counts from the claim. */
  #sinceClaim(): Assignment {
    const { assignment, claimedAt } = this.#options
    if (assignment.secondsLeft === null) return assignment
    const gone = (performance.now() - claimedAt) / 1000
    return { ...assignment, secondsLeft: Math.max(0, assignment.secondsLeft - gone) }
  }

  #startWatch(): AllowanceWatch {
    const { assignment, paths, watchMs } = this.#options
    const shape = { hash: assignment.dataset.hash, ...inputOf(assignment) }
    const watch = new AllowanceWatch({
      pid: this.pid,
      allowance: assignment.allowance,
      scratch: paths.scratch,
      pack: join(paths.packs, packName(shape))
    })
    const onExcess = (excess: Excess): void => {
      this.#excess = excess
      this.#trainer.kill()
    }
    void watch.keep({ everyMs: watchMs, signal: this.#over.signal, onExcess })
    return watch
  }

  #onMessage(message: FromTrainer): void {
    const { note, outbox } = this.#options
    switch (message.type) {
      case 'engine':
        note('info', `engine: ${JSON.stringify(message.engine)}`)
        break
      case 'stage':
        this.progress = message.progress
        this.#stages.at(message.stage)
        outbox.add(message)
        break
      case 'metric':
      case 'environment':
        outbox.add(message)
        break
      case 'decision':
        void this.#store(message)
        break
      case 'log':
        note(message.level, message.message)
        break
      case 'checkpoint':
      case 'artifact':
      case 'measure':
        this.#transfers.add(message)
        break
      case 'damaged':
        this.#damage = message.detail
        break
      case 'done':
      case 'evaluated':
      case 'failed':
      case 'ended':
        this.#farewell = message
        break
      default:
        message satisfies never
    }
  }

  /** The trainer acts on a decision once it is stored; what is not recorded was not decided. */
  async #store(message: Extract<FromTrainer, { type: 'decision' }>): Promise<void> {
    const { outbox, onFailure } = this.#options
    outbox.add(message)
    try {
      await outbox.flush()
      this.#trainer.send({ type: 'decision-stored', stage: message.decision.stage })
    } catch (error) {
      onFailure(error)
    }
  }
}
