/**
 * The parent's side of one engine process: start, load, classify, end.
 *
 * It reports what happened and decides nothing: retries, restarts and who gets which engine are the
 * business of `lane.ts` and `engines.ts`.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { constants, setPriority } from 'node:os'
import type { Duplex } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { ServiceError } from '../errors.ts'
import { type BatchAnswer, readAnswer, readFrames, writeQuestion } from './frames.ts'
import {
  type EngineModel,
  type FromEngine,
  framesFd,
  type Question,
  type ToEngine
} from './messages.ts'
import { SharedBytes } from './shared-bytes.ts'

/** The engine's process ended while, or before, it was asked. */
export class EngineEnded extends Error {
  override readonly name = 'EngineEnded'
}

/** An engine that is silent for so long over a batch or a file is ended: decoding gives up long before. */
const stuckMs = 120_000
const startMs = 30_000

export interface EngineEnd {
  /** Exit code or signal, for people. */
  readonly how: string
  /** Whether `kill` was called; otherwise it crashed, hung or was killed by someone else. */
  readonly asked: boolean
}

interface Pending<T> {
  readonly resolve: (value: T) => void
  readonly reject: (error: Error) => void
}

export class Engine {
  readonly #child: ChildProcess
  readonly #frames: Duplex
  readonly #shared = new SharedBytes()
  readonly #answers = new Map<number, Pending<BatchAnswer>>()
  readonly #started = Promise.withResolvers<void>()
  readonly #ended = Promise.withResolvers<EngineEnd>()
  #loading: Pending<void> | undefined
  #nextId = 1
  #isStarted = false
  #isAlive = true
  #asked = false

  constructor() {
    this.#child = this.#fork()
    this.#frames = this.#child.stdio[framesFd] as unknown as Duplex
    // A broken pair means an engine that is ending; `exit` follows and rejects what is pending.
    this.#frames.on('error', () => {})
    readFrames(this.#frames, (frame) => {
      const { id, ...answer } = readAnswer(frame)
      this.#answers.get(id)?.resolve(answer)
    })
    this.#started.promise.catch(() => {})
    this.#child.on('message', (message) => this.#receive(message as FromEngine))
    this.#child.once('error', (error) => this.#end(error.message))
    this.#child.once('exit', (code, signal) => this.#end(signal ?? `exit code ${code}`))
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), startMs)
    this.#started.promise.then(
      () => clearTimeout(timer),
      () => clearTimeout(timer)
    )
  }

  #fork(): ChildProcess {
    try {
      return fork(fileURLToPath(new URL('./engine-process.ts', import.meta.url)), {
        execArgv: [],
        // No settings, no keys. Two malloc arenas: freed pixels go back to the system.
        env: { MALLOC_ARENA_MAX: '2' },
        // In the order of `framesFd` and `sharedFd`.
        stdio: ['ignore', 'ignore', 'inherit', 'ipc', 'pipe', this.#shared.fd ?? 'ignore']
      })
    } catch (error) {
      this.#shared.close()
      throw error
    }
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  get isAlive(): boolean {
    return this.#isAlive
  }

  /** Alive and not being ended. */
  get isUsable(): boolean {
    return this.#isAlive && !this.#asked
  }

  get isStarted(): boolean {
    return this.#isStarted && this.#isAlive
  }

  /** Settles when the process takes orders. @throws EngineEnded. */
  get started(): Promise<void> {
    return this.#started.promise
  }

  /** Settles when the process has ended. Never rejects. */
  get ended(): Promise<EngineEnd> {
    return this.#ended.promise
  }

  /** Loads the one model of this engine, and runs it once at every size of batch. @throws ServiceError MODEL_INVALID, EngineEnded. */
  async load(model: EngineModel, maxBatch: number): Promise<void> {
    await this.started
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#loading = { resolve, reject }
    this.#send({ type: 'load', model, maxBatch }, reject)
    const restore = stepBack(this.pid)
    try {
      await this.#unlessStuck(promise)
    } finally {
      restore()
    }
  }

  /** One batch. Verdicts come in the order of the questions. @throws EngineEnded. */
  async classify(questions: readonly Question[]): Promise<BatchAnswer> {
    const id = this.#nextId++
    const { promise, resolve, reject } = Promise.withResolvers<BatchAnswer>()
    this.#answers.set(id, { resolve, reject })
    const slot = this.#shared.write(questions.map(({ bytes }) => bytes))
    try {
      if (this.#isAlive) writeQuestion(this.#frames, { id, questions }, slot)
      else reject(gone())
      return await this.#unlessStuck(promise)
    } finally {
      this.#answers.delete(id)
      if (slot) this.#shared.release(slot)
    }
  }

  /** Ends the process at once; it holds nothing that must be saved. */
  kill(): void {
    this.#asked = true
    this.#child.kill('SIGKILL')
  }

  /** Ends a process that does not answer, which rejects `answer`. */
  async #unlessStuck<T>(answer: Promise<T>): Promise<T> {
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), stuckMs)
    try {
      return await answer
    } finally {
      clearTimeout(timer)
    }
  }

  #send(message: ToEngine, reject: (error: Error) => void): void {
    if (!this.#isAlive || !this.#child.connected) {
      reject(gone())
      return
    }
    // A failed write means a broken channel; `exit` follows and rejects what is pending.
    this.#child.send(message, (error) => error && this.#child.kill('SIGKILL'))
  }

  #receive(message: FromEngine): void {
    switch (message.type) {
      case 'started':
        this.#isStarted = true
        this.#started.resolve()
        return
      case 'loaded':
        this.#loading?.resolve()
        this.#loading = undefined
        return
      case 'load-failed':
        this.#loading?.reject(new ServiceError('MODEL_INVALID', { detail: message.detail }))
        this.#loading = undefined
        return
      default:
        message satisfies never
    }
  }

  #end(how: string): void {
    if (!this.#isAlive) return
    this.#isAlive = false
    this.#shared.close()
    const error = new EngineEnded(`The engine process ended: ${how}`)
    this.#started.reject(error)
    this.#loading?.reject(error)
    for (const { reject } of this.#answers.values()) reject(error)
    this.#ended.resolve({ how, asked: this.#asked })
  }
}

const gone = (): EngineEnded => new EngineEnded('Cannot reach the engine: its process has ended')

/** CAP_SYS_NICE (linux/capability.h): a process that has it may take its priority back. */
const mayReturn = ((): boolean => {
  try {
    const [, mask = '0'] =
      /^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? []
    return ((BigInt(`0x${mask}`) >> 23n) & 1n) === 1n
  } catch {
    return false
  }
})()

/**
 * Lets engines that answer go before one that loads, where the system lets it come back.
 *
 * @returns puts its priority back
 */
function stepBack(pid: number | undefined): () => void {
  if (!mayReturn || pid === undefined) return () => {}
  const give = (priority: number): void => {
    try {
      setPriority(pid, priority)
    } catch {
      // The process has ended meanwhile.
    }
  }
  give(constants.priority.PRIORITY_BELOW_NORMAL)
  return () => give(constants.priority.PRIORITY_NORMAL)
}
