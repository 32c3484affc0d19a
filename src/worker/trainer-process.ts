/**
 * The supervisor's handle on a trainer: start it, talk to it, end it.
 *
 * A trainer is a fresh process per job, so leaks of the native library die with it, and its busy loop
 * never delays the lock renewal of the supervisor.
 */
import { type ChildProcess, fork } from 'node:child_process'
import type { FromTrainer, ToTrainer } from '../contract/trainer.ts'
import { PutOff } from './put-off.ts'

const entry = new URL('./trainer.ts', import.meta.url)

export interface TrainerOptions {
  /** Passed to the trainer's environment: engine and thread counts must be set before it starts. */
  readonly engine: string
  readonly threads: number
  readonly onMessage: (message: FromTrainer) => void
  /** Everything the trainer and its native library print. */
  readonly onOutput: (text: string) => void
}

export interface TrainerEnd {
  readonly exitCode: number | null
  readonly signal: NodeJS.Signals | null
}

export interface TrainerProcess {
  /** -1 when none was started, as `ended` will say. */
  readonly pid: number
  send(message: ToTrainer): void
  /** Settles when the process has ended, however it ended. @throws PutOff when it never began */
  readonly ended: Promise<TrainerEnd>
  /** Asks by `order`, waits `graceMs`, terminates, waits a moment, kills. */
  end(order: 'cancel' | 'checkpoint', graceMs: number): Promise<void>
  /** Ends it where it stands. */
  kill(): void
}

/** Between SIGTERM and SIGKILL: a trainer that hears it has been told to end already. */
const insistMs = 500

/** @throws PutOff when the system refuses a process at once; some refusals come later, through `ended` */
export function startTrainer(options: TrainerOptions): TrainerProcess {
  const child = forkTrainer(options)
  child.on('message', (message) => options.onMessage(message as FromTrainer))
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', options.onOutput)
  }
  const ended = endOf(child)
  const gone = ended.then(
    () => {},
    () => {}
  )
  const send = (message: ToTrainer): void => {
    // A trainer that has just ended is noticed by `ended`; a message to it has nobody to reach.
    if (child.connected) child.send(message, () => {})
  }
  return {
    pid: child.pid ?? -1,
    send,
    ended,
    async end(order, graceMs) {
      send({ type: 'order', order })
      if (await endsWithin(gone, graceMs)) return
      child.kill('SIGTERM')
      if (await endsWithin(gone, insistMs)) return
      child.kill('SIGKILL')
      await gone
    },
    kill: () => void child.kill('SIGKILL')
  }
}

function forkTrainer(options: TrainerOptions): ChildProcess {
  try {
    return fork(entry, [], {
      serialization: 'advanced',
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: { ...inherited(), ...engineEnvironment(options) }
    })
  } catch (error) {
    throw notStarted(error)
  }
}

function endOf(child: ChildProcess): Promise<TrainerEnd> {
  return new Promise((resolve, reject) => {
    // `close` comes after `exit`, when the last output has been read.
    child.once('close', (exitCode, signal) => resolve({ exitCode, signal }))
    // A signal that could not be sent is an error too, of a process that is there.
    child.on('error', (error) => {
      if (child.pid === undefined) reject(notStarted(error))
    })
  })
}

/** For want of processes, files or memory (fork(2)), which says nothing about the job. */
const notStarted = (error: unknown): PutOff =>
  new PutOff(`Cannot start a trainer: ${(error as Error).message}`)

async function endsWithin(ended: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), ms)
  })
  const inTime = await Promise.race([ended.then(() => true), late])
  clearTimeout(timer)
  return inTime
}

/** Thread counts are stated, never inherited from the cores at hand: results depend on them. */
function engineEnvironment({ engine, threads }: TrainerOptions): Record<string, string> {
  return {
    WHITTLE_ENGINE: engine,
    WHITTLE_THREADS: String(threads),
    TF_NUM_INTRAOP_THREADS: String(threads),
    TF_NUM_INTEROP_THREADS: String(threads),
    TF_FORCE_GPU_ALLOW_GROWTH: 'true',
    TF_CPP_MIN_LOG_LEVEL: '2'
  }
}

/** Only what a process needs to run: no keys, no tokens, no Redis address. */
function inherited(): Record<string, string> {
  const wanted = /^(PATH|HOME|TMPDIR|LANG|LC_|LD_LIBRARY_PATH|CUDA_|NVIDIA_|TF_|UV_|NODE_)/
  return Object.fromEntries(
    Object.entries(process.env).filter(
      (entry): entry is [string, string] => wanted.test(entry[0]) && entry[1] !== undefined
    )
  )
}
