/** Counts and times what is answered, by the pattern of the route: the address itself is the caller's choice. */
import type { FastifyInstance } from 'fastify'
import type { Metrics } from '../../service/metrics.ts'
import { eventStreamType } from '../event-stream.ts'

export function requestTimes(app: FastifyInstance, metrics: Metrics): void {
  app.addHook('onResponse', async (request, reply) => {
    const lasts = reply.getHeader('content-type') === eventStreamType
    metrics.requestAnswered({
      method: request.method,
      route: request.routeOptions.url,
      status: reply.statusCode,
      seconds: lasts ? undefined : reply.elapsedTime / 1000
    })
  })
}
