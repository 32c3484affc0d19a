/**
 * The supervisor's handle on a trainer: start it, talk to it, end it.
 *
 * A trainer is a fresh process per job, so leaks of the native library die with it, and its busy loop
 * never delays the lock renewal of the supervisor.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { FromTrainer, ToTrainer } from '../contract/trainer.ts'

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
  readonly pid: number
  send(message: ToTrainer): void
  /** Settles when the process has ended, however it ended. */
  readonly ended: Promise<TrainerEnd>
  /** Asks by `order`, then terminates, then kills; each step waits `graceMs`. */
  end(order: 'cancel' | 'checkpoint', graceMs: number): Promise<TrainerEnd>
}

export function startTrainer(options: TrainerOptions): TrainerProcess {
  const child = fork(entry, [], {
    serialization: 'advanced',
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: { ...inherited(), ...engineEnvironment(options) }
  })
  child.on('message', (message) => options.onMessage(message as FromTrainer))
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', options.onOutput)
  }
  const ended = end(child)
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
      if (await endsWithin(ended, graceMs)) return ended
      child.kill('SIGTERM')
      if (await endsWithin(ended, graceMs)) return ended
      child.kill('SIGKILL')
      return ended
    }
  }
}

async function end(child: ChildProcess): Promise<TrainerEnd> {
  const failed = new Promise<TrainerEnd>((resolve) => {
    child.once('error', () => resolve({ exitCode: child.exitCode, signal: child.signalCode }))
  })
  // `close` comes after `exit`, when the last output has been read.
  const closed = once(child, 'close').then(([exitCode, signal]) => ({ exitCode, signal }))
  return Promise.race([closed, failed])
}

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
