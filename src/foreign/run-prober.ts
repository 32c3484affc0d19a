/**
 * Forks a prober and watches over it: a model made elsewhere is only ever read and run in there, until it
 * has been tried.
 *
 * The kernel holds the process to its memory: `RLIMIT_DATA` (setrlimit(2)) counts what it may write to,
 * and an allocation beyond it fails in the very process, however fast it comes. A shell sets it, since
 * Node cannot. The process gets no environment, so it holds no secret of the service.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import Value from 'typebox/value'
import { ProbeAnswer, type ProbedModel, type ProbeOrder } from '../contract/model-import.ts'
import { type ErrorCode, errorCatalogue, ServiceError } from '../errors.ts'
import { foreignLimits, memoryKiB } from './limits.ts'
import { damaged, excessive } from './refusals.ts'

export interface RunProberOptions {
  /** Kills the prober; the call then fails with the signal's reason. */
  readonly signal?: AbortSignal
  /** @default those of limits.ts */
  readonly seconds?: number
  readonly memoryKiB?: number
}

/** A hard limit that is lower already stays as it is. */
const limited = 'ulimit -d "$0" 2>/dev/null; exec "$@"'

/**
 * Has one model read, wrapped and tried in a process of its own.
 *
 * @throws ServiceError MODEL_INVALID, MODEL_UNSUPPORTED, MODEL_LIMIT, REQUEST_INVALID: what is wrong with it;
 *   ENGINE_CRASHED when no process can be started
 */
export async function runProber(
  order: ProbeOrder,
  { signal, seconds = foreignLimits.seconds, ...limits }: RunProberOptions = {}
): Promise<ProbedModel> {
  signal?.throwIfAborted()
  const kiB = limits.memoryKiB ?? memoryKiB((await stat(order.source)).size)
  const child = start(kiB)
  const kill = () => child.kill('SIGKILL')
  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    kill()
  }, seconds * 1000)
  signal?.addEventListener('abort', kill)
  try {
    const { answer, how } = await conversation(child, order)
    signal?.throwIfAborted()
    if (isLate) throw excessive(`trying it may take at most ${seconds} s, received more`)
    if (answer === undefined) throw ended(how, kiB)
    if (answer.type === 'taken') return answer.model
    throw refusalOf(answer)
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', kill)
    kill()
  }
}

function start(kiB: number): ChildProcess {
  const heap = `--max-old-space-size=${foreignLimits.heapMiB}`
  return fork(fileURLToPath(new URL('./prober.ts', import.meta.url)), {
    execPath: '/bin/sh',
    execArgv: ['-c', limited, String(kiB), process.execPath, heap],
    env: { MALLOC_ARENA_MAX: '2' },
    stdio: ['ignore', 'ignore', 'pipe', 'ipc']
  })
}

interface Conversation {
  readonly answer: ProbeAnswer | undefined
  /** How the process ended, and its last words. */
  readonly how: string
}

/** Settles when the process has ended: only then is its file whole. */
function conversation(child: ChildProcess, order: ProbeOrder): Promise<Conversation> {
  return new Promise((resolve, reject) => {
    let answer: ProbeAnswer | undefined
    let words = ''
    child.stderr?.on('data', (chunk) => {
      words = `${words}${chunk}`.slice(-2000)
    })
    child.once('message', (message) => {
      // It comes from a process that read hostile bytes: it is checked like any other input.
      if (Value.Check(ProbeAnswer, message)) answer = message
    })
    child.on('error', (cause) =>
      reject(
        new ServiceError('ENGINE_CRASHED', {
          detail: `Cannot try the model: ${cause.message}`,
          cause
        })
      )
    )
    child.once('close', (code, signal) => {
      resolve({ answer, how: `${signal ?? `exit code ${code}`}${lastWords(words)}` })
    })
    child.send(order, () => {}) // a failed write is followed by `close`
  })
}

const outOfMemory = /out of memory|bad_alloc|cannot allocate|failed to allocate/i

/** Of what V8 or the C++ library said, that it was memory; their stack traces help nobody. */
const lastWords = (words: string): string => (outOfMemory.test(words) ? ', out of memory' : '')

function ended(how: string, kiB: number): ServiceError {
  const mebibytes = Math.floor(kiB / 1024)
  return how.endsWith('out of memory')
    ? excessive(`trying it may take at most ${mebibytes} MiB of memory, received ${how}`)
    : damaged(
        `the process that tried it, with ${mebibytes} MiB of memory, ended unexpectedly, received ${how}`
      )
}

function refusalOf({ code, detail, errors }: Extract<ProbeAnswer, { type: 'refused' }>) {
  const known =
    Object.hasOwn(errorCatalogue, code) && errorCatalogue[code as ErrorCode].status === 422
  return new ServiceError(known ? (code as ErrorCode) : 'MODEL_INVALID', {
    detail,
    ...(errors.length === 0 ? {} : { errors })
  })
}
