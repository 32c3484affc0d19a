/**
 * Puts dispatches into Redis. The api's only use of the queue besides importing.
 *
 * A dispatch that cannot be added is no loss: the catalogue keeps the job queued and reconciliation
 * dispatches it when Redis is back.
 */
import { Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import { connect } from './connection.ts'
import { type Dispatch, defaultPrefix, dispatchId, type QueueName } from './names.ts'
import { type Place, queueNumber } from './place.ts'

export interface ProducerOptions {
  readonly redisUrl: string
  readonly prefix?: string
  /** Told of every connection error; the connection recovers by itself. */
  readonly onError?: (error: Error) => void
}

export interface Producer {
  /** Adds dispatch `n` of a job at its place. @throws Error at once when Redis is away. */
  dispatchJob(id: string, n: number, place: Place): Promise<void>
  /** Adds dispatch `n` of a dataset import. @throws Error at once when Redis is away. */
  dispatchImport(id: string, n: number): Promise<void>
  /** Calls back whenever Redis has become reachable (also at once if it is). */
  onReady(callback: () => void): void
  readonly status: 'ready' | 'away'
  close(): Promise<void>
}

export function createProducer({
  redisUrl,
  prefix = defaultPrefix,
  onError = () => {}
}: ProducerOptions): Producer {
  const connection = connect(redisUrl, { mode: 'producer', onError })
  const listeners: (() => void)[] = []
  let queues: Queues | undefined

  // BullMQ checks the server's version once, when a Queue is made, and never recovers when that check
  // fails. So queues are made when Redis is there, and made anew if it goes away during the check.
  const open = async (): Promise<void> => {
    queues ??= await openQueues({ connection, prefix, onError })
    for (const listener of listeners) listener()
  }
  connection.on('ready', () => open().catch(onError))

  const queue = (name: QueueName): Queue<Dispatch> => {
    if (queues === undefined || connection.status !== 'ready') {
      throw new Error(`Cannot dispatch: Redis is away (${connection.status})`)
    }
    return queues[name]
  }
  return {
    dispatchJob: async (id, dispatch, place) =>
      add(queue('jobs'), { id, dispatch }, { priority: queueNumber(place) }),
    dispatchImport: async (id, dispatch) => add(queue('imports'), { id, dispatch }),
    onReady(callback) {
      listeners.push(callback)
      if (queues !== undefined && connection.status === 'ready') callback()
    },
    get status() {
      return queues !== undefined && connection.status === 'ready' ? 'ready' : 'away'
    },
    async close() {
      for (const open of Object.values(queues ?? {})) await open.close()
      connection.disconnect()
    }
  }
}

type Queues = Readonly<Record<QueueName, Queue<Dispatch>>>

async function openQueues({
  connection,
  prefix,
  onError
}: {
  readonly connection: Redis
  readonly prefix: string
  readonly onError: (error: Error) => void
}): Promise<Queues> {
  const open = (name: QueueName): Queue<Dispatch> => {
    const queue = new Queue<Dispatch>(name, { connection, prefix })
    queue.on('error', onError)
    return queue
  }
  const queues = { jobs: open('jobs'), imports: open('imports') }
  await Promise.all(Object.values(queues).map((queue) => queue.waitUntilReady()))
  return queues
}

/** Nothing is kept of an ended dispatch: the catalogue holds the history. */
async function add(
  queue: Queue<Dispatch>,
  dispatch: Dispatch,
  options: { readonly priority?: number } = {}
): Promise<void> {
  await queue.add('dispatch', dispatch, {
    ...options,
    jobId: dispatchId(dispatch),
    attempts: 1,
    removeOnComplete: true,
    removeOnFail: true
  })
}
