/**
 * Explains images in a process each, one at a time: explanations are for people, and must not slow down
 * predictions. A few may wait; what does not fit is refused at once.
 *
 * The process has no environment and no settings. Time, heap and resident memory are bounded, and it is
 * killed when whoever asked has gone.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import Value from 'typebox/value'
import { ExplainAnswer, type ExplainOrder } from '../contract/explanation.ts'
import { type ErrorCode, errorCatalogue, ServiceError } from '../errors.ts'

export interface ExplainersOptions {
  /** Those that may wait for the one that is at work. @default 8 */
  readonly places?: number
  /** From being asked to being answered. @default 60_000 */
  readonly deadlineMs?: number
  /** Resident memory of the process, at most. @default 2048 */
  readonly memoryMiB?: number
}

export type ExplanationFound = Extract<ExplainAnswer, { type: 'done' }>

const heapMiB = 1024
const watchMs = 200
/** A guess: an explanation takes a second or two. */
const retryAfter = 5

export class Explainers {
  readonly #options: Required<ExplainersOptions>
  readonly #closing = new AbortController()
  #last: Promise<unknown> = Promise.resolve()
  #asked = 0

  constructor({ places = 8, deadlineMs = 60_000, memoryMiB = 2048 }: ExplainersOptions = {}) {
    this.#options = { places, deadlineMs, memoryMiB }
  }

  /**
   * @throws ServiceError QUEUE_FULL, DEADLINE_EXCEEDED, ENGINE_CRASHED, SHUTTING_DOWN, and what is wrong with
   *   image or model; the signal's reason when it aborts.
   */
  async explain(order: ExplainOrder, signal: AbortSignal): Promise<ExplanationFound> {
    const { places, deadlineMs, memoryMiB } = this.#options
    if (this.#asked > places) throw full(places)
    const late = new AbortController()
    const timer = setTimeout(() => late.abort(tooLate(deadlineMs)), deadlineMs)
    const ends = AbortSignal.any([signal, late.signal, this.#closing.signal])
    this.#asked += 1
    try {
      ends.throwIfAborted()
      const turn = this.#last
      const run = turn.then(() => runExplainer(order, { signal: ends, memoryMiB }))
      this.#last = run.catch(() => {})
      // Who leaves the line gives up the place at once; who is at work, when the process has ended.
      await unlessAborted(turn, ends)
      return await run
    } finally {
      this.#asked -= 1
      clearTimeout(timer)
    }
  }

  /** Ends the one at work and refuses those that wait; settles when none is left. */
  async close(): Promise<void> {
    const detail = 'Cannot explain: the service is ending'
    this.#closing.abort(new ServiceError('SHUTTING_DOWN', { detail, retryAfter }))
    await this.#last
  }
}

function unlessAborted(turn: Promise<unknown>, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const leave = () => reject(signal.reason)
  signal.addEventListener('abort', leave, { once: true })
  void turn.then(() => resolve())
  return promise.finally(() => signal.removeEventListener('abort', leave))
}

async function runExplainer(
  order: ExplainOrder,
  { signal, memoryMiB }: { readonly signal: AbortSignal; readonly memoryMiB: number }
): Promise<ExplanationFound> {
  signal.throwIfAborted()
  const child = fork(new URL('./explainer.ts', import.meta.url), {
    execArgv: [`--max-old-space-size=${heapMiB}`],
    env: { MALLOC_ARENA_MAX: '2' },
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    serialization: 'advanced'
  })
  let answer: unknown
  let output = ''
  let excess = ''
  const kill = () => void child.kill('SIGKILL')
  signal.addEventListener('abort', kill)
  const watch = setInterval(async () => {
    const used = await residentMiB(child.pid)
    if (used <= memoryMiB) return
    excess = `; it may use at most ${memoryMiB} MiB and used ${used} MiB`
    kill()
  }, watchMs)
  child.stderr?.on('data', (text) => {
    output = (output + text).slice(-2000)
  })
  child.once('message', (message) => {
    answer = message
  })
  try {
    child.send(order, () => {}) // a failed write is followed by the end
    const how = await endOf(child)
    signal.throwIfAborted()
    if (answer === undefined) throw crashed(how + excess, output)
    return checked(answer)
  } finally {
    clearInterval(watch)
    signal.removeEventListener('abort', kill)
  }
}

function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.on('error', (error) => child.pid === undefined && resolve(error.message))
    child.once('close', (code, signal) => resolve(signal ?? `exit code ${code}`))
  })
}

/** The answer comes from a process that has decoded whatever it was sent. */
function checked(answer: unknown): ExplanationFound {
  if (!Value.Check(ExplainAnswer, answer)) throw crashed('an answer of another form', '')
  if (answer.type === 'done') return answer
  const { code, detail } = answer
  if (!Object.hasOwn(errorCatalogue, code)) throw crashed(`the code ${code}`, detail)
  throw new ServiceError(code as ErrorCode, { detail })
}

/** From proc(5); 0 where there is no such file: the heap limit then stands alone. */
async function residentMiB(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return Math.round(Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) / 1024)
}

function full(places: number): ServiceError {
  return new ServiceError('QUEUE_FULL', {
    detail: `Cannot accept the request: at most ${places} explanations may wait, received one more`,
    retryAfter
  })
}

function tooLate(deadlineMs: number): ServiceError {
  return new ServiceError('DEADLINE_EXCEEDED', {
    detail: `Cannot explain the image: it may take at most ${deadlineMs / 1000} s, the wait for others included`
  })
}

function crashed(how: string, output: string): ServiceError {
  return new ServiceError('ENGINE_CRASHED', {
    detail: `Cannot explain the image: the process ended unasked, received ${how}`,
    retryAfter,
    cause: new Error(output)
  })
}
