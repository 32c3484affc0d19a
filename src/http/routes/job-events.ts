/** `GET /v1/jobs/{id}/events`: a job as it happens, as server-sent events that can be resumed. */
import type { ServerResponse } from 'node:http'
import { finished } from 'node:stream'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { jobDocument } from '../../catalog/job-document.ts'
import type { JobEventRow } from '../../catalog/job-events.ts'
import { hasEnded } from '../../catalog/job-state.ts'
import { getJob } from '../../catalog/jobs.ts'
import type { Catalog } from '../../catalog/open.ts'
import type { Follower, JobFeed, Waited } from '../../service/job-feed.ts'
import {
  comment,
  eventStreamHeaders,
  eventStreamType,
  formatEvent,
  sendEvents
} from '../event-stream.ts'
import { problemResponses } from '../responses.ts'

export interface JobEventRoutesOptions {
  readonly db: Catalog
  readonly feed: JobFeed
  /** A comment goes out every. @default 15 000 */
  readonly commentEveryMs?: number
  /** A reader that takes nothing for so long is cut off; longer than between comments. @default 30 000 */
  readonly stallMs?: number
}

const JobPath = Type.Object({ id: Type.String({ minLength: 1, maxLength: 100 }) })

const ResumeHeaders = Type.Object({
  'last-event-id': Type.Optional(
    Type.Integer({ minimum: 0, description: 'Events after this one are sent; all when left out' })
  )
})

const EventText = Type.Unsafe<string>({
  type: 'string',
  description:
    'Events `state`, `stage`, `metric` and `log`, each with an `id`; at last `end` with the job, and the answer ends'
})

/** How long a reader may take to take the rest when the service ends. */
const farewellMs = 1000

export async function jobEventRoutes(instance: FastifyInstance, options: JobEventRoutesOptions) {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()
  const { db, feed, commentEveryMs = 15_000, stallMs = 30_000 } = options
  const answers = new Set<ServerResponse>()
  app.addHook('preClose', async () => {
    feed.close()
    // Who takes nothing does not notice that it is over, and would be waited for.
    const insist = (): void => {
      for (const answer of answers) answer.destroy()
    }
    setTimeout(insist, farewellMs).unref()
  })

  app.get(
    '/:id/events',
    {
      schema: {
        operationId: 'followJob',
        tags: ['jobs'],
        summary: 'A job as it happens, as server-sent events',
        params: JobPath,
        headers: ResumeHeaders,
        response: {
          200: {
            description: 'Until the job has ended; may be resumed with Last-Event-ID',
            content: { [eventStreamType]: { schema: EventText } }
          },
          ...problemResponses(404, 422, 503)
        }
      }
    },
    async (request, reply) => {
      const { id } = await getJob(db, request.params.id)
      if (request.method === 'HEAD') return eventStreamHeaders(reply).send()
      const follower = await feed.follow(id)
      answers.add(reply.raw)
      // Calls back at once when the caller has gone meanwhile.
      finished(reply.raw, () => {
        answers.delete(reply.raw)
        follower.leave()
      })
      const after = request.headers['last-event-id'] ?? 0
      const texts = story({ db, follower, after, commentEveryMs })
      return sendEvents(request, reply, { texts, stallMs })
    }
  )
}

interface Following {
  readonly db: Catalog
  readonly follower: Follower
  readonly after: number
  readonly commentEveryMs: number
}

/** What has happened after a row, then what happens, until the job has ended or one side leaves. */
async function* story({ db, follower, after, commentEveryMs }: Following): AsyncGenerator<string> {
  const id = follower.job
  // Has the head of the answer go out, however long there is nothing to tell.
  yield comment
  let commentAt = performance.now() + commentEveryMs
  for (let last = after; ; ) {
    const { state, rows, isFull } = await follower.read(last)
    if (state === undefined) return
    if (rows.length > 0) yield rows.map(eventText).join('')
    last = rows.at(-1)?.seq ?? last
    // The state was read before the rows: a job that had ended by then has no others.
    if (!isFull && hasEnded(state)) {
      yield formatEvent({ event: 'end', data: jobDocument(await getJob(db, id)) })
      return
    }
    // What follows a whole page is there already.
    if (isFull) follower.notice()
    let waited: Waited
    do {
      waited = await follower.waitForChange(commentAt - performance.now())
      if (performance.now() < commentAt) continue
      yield comment
      commentAt = performance.now() + commentEveryMs
    } while (waited === 'quiet')
    if (waited === 'gone') return
  }
}

const eventText = ({ seq, type, data }: JobEventRow): string =>
  formatEvent({ id: seq, event: type, data })
