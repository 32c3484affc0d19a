/**
 * Forks an importer and watches over it: hostile bytes are only ever opened in there.
 *
 * The heap is limited by Node, resident memory (which decoders allocate outside the heap) and time by
 * the watchdog here. The process gets no environment, so it holds no secret of the service.
 */
import { fork } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import Value from 'typebox/value'
import type { ImportReport } from '../contract/dataset.ts'
import { ImporterAnswer, type ImportOrder } from '../contract/importer.ts'
import { type ErrorCode, errorCatalogue, ServiceError } from '../errors.ts'
import type { ImporterStart } from './importer.ts'
import { type ImportLimits, importLimits } from './limits.ts'

export interface ImporterResult {
  /** Null when the archive could not be read to its end. */
  readonly report: ImportReport | null
  readonly error: ServiceError | null
}

export interface RunImporterOptions {
  readonly limits?: ImportLimits
  /** Kills the importer; the call then fails with the signal's reason. */
  readonly signal?: AbortSignal
}

const watchMs = 500

/**
 * Runs one import to its end in a process of its own.
 *
 * @throws ServiceError IMPORT_FAILED when the process ended unasked: it may be run again.
 */
export async function runImporter(
  order: ImportOrder,
  { limits = importLimits, signal }: RunImporterOptions = {}
): Promise<ImporterResult> {
  signal?.throwIfAborted()
  const child = fork(new URL('./importer.ts', import.meta.url), {
    execArgv: [`--max-old-space-size=${limits.heapMiB}`],
    // One arena keeps glibc from holding on to what decoders have freed.
    env: { MALLOC_ARENA_MAX: '2', UV_THREADPOOL_SIZE: String(Math.max(4, availableParallelism())) },
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    serialization: 'advanced'
  })
  let answer: ImporterResult | null = null
  const stop = (reason: ServiceError | null) => {
    answer ??= reason && { report: null, error: reason }
    child.kill('SIGKILL')
  }
  const abort = () => stop(null)
  signal?.addEventListener('abort', abort)
  const watch = watchdog(child.pid, limits, stop)
  const errors: string[] = []
  child.stderr?.on('data', (chunk) => errors.push(String(chunk)) > 50 && errors.shift())
  child.once('message', (message) => {
    answer ??= asResult(message)
  })
  try {
    const start: ImporterStart = { order, limits }
    child.send(start)
    const how = await ended(child)
    signal?.throwIfAborted()
    return answer ?? refuse(how, errors.join('').slice(-2000))
  } finally {
    clearInterval(watch)
    signal?.removeEventListener('abort', abort)
    child.kill('SIGKILL')
  }
}

function ended(child: ReturnType<typeof fork>): Promise<string> {
  return new Promise((resolve) => {
    // Not once: a process that ends early may fail to start, to be told and to be killed.
    child.on('error', (error) => resolve(error.message))
    child.once('close', (code, signal) => resolve(signal ?? `exit code ${code}`))
  })
}

function refuse(how: string, detail: string): never {
  throw new ServiceError('IMPORT_FAILED', {
    detail: `Cannot import the images: the importer ended unexpectedly, received ${how}`,
    cause: new Error(detail)
  })
}

/** Ends an importer that takes more time or memory than it may. */
function watchdog(
  pid: number | undefined,
  { seconds, memoryMiB }: ImportLimits,
  stop: (reason: ServiceError) => void
) {
  const deadline = Date.now() + seconds * 1000
  return setInterval(async () => {
    if (Date.now() > deadline) stop(excess(`it may take at most ${seconds} s`))
    const used = await residentMiB(pid)
    if (used > memoryMiB) stop(excess(`it may use at most ${memoryMiB} MiB`, `${used} MiB`))
  }, watchMs)
}

const excess = (rule: string, received = 'more') =>
  new ServiceError('ARCHIVE_LIMIT', {
    detail: `Cannot import the images: ${rule}, received ${received}`
  })

/** From proc(5); 0 where there is no such file: the heap limit then stands alone. */
async function residentMiB(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return Math.round(Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) / 1024)
}

/** The answer comes from a process that read hostile bytes: it is checked like any other input. */
function asResult(message: unknown): ImporterResult | null {
  if (!Value.Check(ImporterAnswer, message)) return null
  if (message.type === 'done') return { report: message.report, error: null }
  const { code, detail, report } = message
  if (!Object.hasOwn(errorCatalogue, code)) return null
  return { report, error: new ServiceError(code as ErrorCode, { detail }) }
}
