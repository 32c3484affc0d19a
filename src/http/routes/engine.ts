/** `GET /v1/engine`: what trains here and what serves here. */
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { EngineInfo } from '../../contract/internal.ts'
import { Machine } from '../../contract/report.ts'
import type { WorkerRegistry } from '../worker-registry.ts'

export interface EngineRoutesOptions {
  readonly workers: WorkerRegistry
  /** CPU and runtime that inference processes use. */
  readonly machine: Machine
}

const Engine = Type.Object(
  {
    training: Type.Array(
      Type.Object({
        worker: Type.String(),
        engine: EngineInfo,
        slots: Type.Integer({ description: 'Jobs that the worker runs at a time' }),
        busy: Type.Integer(),
        seenAt: Type.String()
      })
    ),
    serving: Machine
  },
  { $id: 'Engine' }
)

export async function engineRoutes(app: FastifyInstance, options: EngineRoutesOptions) {
  const { workers, machine } = options
  app.get(
    '/',
    {
      schema: {
        operationId: 'getEngine',
        tags: ['service'],
        summary: 'What trains and what serves, and why',
        response: { 200: Engine }
      }
    },
    async () => ({
      training: workers.list().map(({ id, ...status }) => ({ worker: id, ...status })),
      serving: machine
    })
  )
}
