/** `GET /v1/engine`: what trains here and what serves here. */
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { EngineInfo } from '../../contract/internal.ts'
import { Machine } from '../../contract/report.ts'
import type { Engines } from '../../infer/engines.ts'
import type { WorkerRegistry } from '../../service/worker-registry.ts'

export interface EngineRoutesOptions {
  readonly workers: WorkerRegistry
  /** CPU and runtime that inference processes use. */
  readonly machine: Machine
  readonly engines: Pick<Engines, 'status'>
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
    serving: Machine,
    models: Type.Array(
      Type.Object({
        model: Type.String(),
        version: Type.Integer(),
        variant: Type.String(),
        processes: Type.Integer({ description: 'Inference processes that hold it' }),
        waiting: Type.Integer({ description: 'Images that wait' }),
        lastExit: Type.Union([Type.String(), Type.Null()], {
          description: 'How the last of its processes ended that did so unasked'
        })
      })
    )
  },
  { $id: 'Engine' }
)

export async function engineRoutes(app: FastifyInstance, options: EngineRoutesOptions) {
  const { workers, machine, engines } = options
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
      training: workers.list().map(({ id, engine, slots, busy, seenAt }) => ({
        worker: id,
        engine,
        slots,
        busy,
        seenAt
      })),
      serving: machine,
      models: engines.status.models.map(({ serves, engines: processes, waiting, lastExit }) => ({
        ...serves,
        processes,
        waiting,
        lastExit
      }))
    })
  )
}
