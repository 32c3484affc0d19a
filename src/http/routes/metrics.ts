/** `GET /metrics`: how the service does, in the text form of Prometheus. */
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import type { Metrics } from '../../service/metrics.ts'

export interface MetricsRoutesOptions {
  readonly metrics: Metrics
}

const MetricsText = Type.Unsafe<string>({ type: 'string' })

export async function metricsRoutes(app: FastifyInstance, { metrics }: MetricsRoutesOptions) {
  app.get(
    '/metrics',
    {
      schema: {
        operationId: 'getMetrics',
        tags: ['service'],
        summary: 'How the service does, for Prometheus',
        response: {
          200: {
            description: 'Text exposition format, version 0.0.4',
            content: { 'text/plain': { schema: MetricsText } }
          }
        }
      }
    },
    async (_request, reply) =>
      reply
        .type(metrics.contentType)
        .serializer(String)
        .send(await metrics.text())
  )
}
