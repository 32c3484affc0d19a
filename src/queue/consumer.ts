/**
 * Takes dispatches out of Redis, for workers (jobs) and the api (imports).
 *
 * The process that calls this must never be busy for long: BullMQ renews locks by timers of its event
 * loop. When a lock is lost all the same, the run is told and goes on: who holds what is not decided here.
 */
import { type Job, WaitingError, Worker } from 'bullmq'
import Value from 'typebox/value'
import { connect } from './connection.ts'
import { Dispatch, defaultPrefix, type QueueName, queueNames } from './names.ts'

export interface ConsumerOptions {
  readonly redisUrl: string
  readonly prefix?: string
  /** How many dispatches run at once. @default 1 */
  readonly concurrency?: number
  /**
   * Runs one dispatch to its end. Must settle; whatever it throws ends the dispatch and nothing else.
   * `lockLost` aborts when the dispatch may have been handed to another process as well.
   */
  readonly run: (dispatch: Dispatch, lockLost: AbortSignal) => Promise<void>
  readonly onError?: (error: Error) => void
}

export interface Consumer {
  /** Takes nothing new. Running dispatches go on. */
  pause(): Promise<void>
  /** Takes dispatches again. */
  resume(): Promise<void>
  /** Waits for running dispatches, then leaves Redis. */
  close(): Promise<void>
}

export const consumeJobs = (options: ConsumerOptions): Consumer => consume(queueNames.jobs, options)

export const consumeImports = (options: ConsumerOptions): Consumer =>
  consume(queueNames.imports, options)

function consume(name: QueueName, options: ConsumerOptions): Consumer {
  const { redisUrl, prefix = defaultPrefix, concurrency = 1, run, onError = () => {} } = options
  const connection = connect(redisUrl, { mode: 'consumer', onError })
  const connections = [connection]
  const duplicate = connection.duplicate.bind(connection)
  // BullMQ makes a second one for its blocking reads, and cannot be made to drop it while Redis is away.
  connection.duplicate = (options) => {
    const second = duplicate(options)
    connections.push(second)
    return second
  }
  const worker = new Worker<Dispatch>(
    name,
    // BullMQ hands out the signal only to processors that declare three parameters.
    async (job, token, signal) => {
      if (worker.isPaused()) await putBack(job, token)
      if (!Value.Check(Dispatch, job.data)) {
        throw new TypeError(`Cannot run dispatch ${job.id}: received ${JSON.stringify(job.data)}`)
      }
      await run(job.data, signal ?? new AbortController().signal)
    },
    // A dispatch whose process died is handed out again; the catalogue decides what becomes of it.
    { connection, prefix, concurrency, lockDuration: 60_000, maxStalledCount: 10 }
  )
  worker.on('error', onError)
  worker.on('failed', (_job, error) => onError(error))
  worker.on('lockRenewalFailed', (ids) => {
    for (const id of ids) worker.cancelJob(id, 'lock lost')
  })
  return {
    pause: () => worker.pause(true),
    resume: () => worker.resume(),
    async close() {
      // Without Redis there is nothing to leave in order, and waiting for it could take for ever;
      // also when it goes away only now, as it does when `npm start` is killed.
      const lost = new Promise((resolve) => connection.once('close', resolve))
      await Promise.race([worker.close(connection.status !== 'ready'), lost])
      for (const one of connections) one.disconnect()
    }
  }
}

/**
 * Lets another worker have what a paused one was brought all the same: BullMQ's blocking read, begun
 * before the pause, still ends with a job.
 */
async function putBack(job: Job<Dispatch>, token: string | undefined): Promise<never> {
  await job.moveToWait(token)
  throw new WaitingError()
}
