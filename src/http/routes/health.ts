/** `/health`: whether the process lives, and whether it can answer predictions. */
import type { FastifyInstance } from 'fastify'
import { sql } from 'kysely'
import { Type } from 'typebox'
import type { Catalog } from '../../catalog/open.ts'
import type { WorkerRegistry } from '../../service/worker-registry.ts'

export interface HealthRoutesOptions {
  readonly db: Catalog
  readonly workers: WorkerRegistry
  /** Whether jobs can be handed over. */
  readonly redis: () => boolean
  /** Whether a model can be asked. */
  readonly engines: () => boolean
}

const Part = Type.Object({ ready: Type.Boolean(), detail: Type.String() })

const Readiness = Type.Object(
  {
    ready: Type.Boolean({ description: 'Whether predictions can be served' }),
    parts: Type.Object({ catalogue: Part, redis: Part, engines: Part, workers: Part })
  },
  { $id: 'Readiness' }
)

export async function healthRoutes(app: FastifyInstance, options: HealthRoutesOptions) {
  const { db, workers, redis, engines } = options
  const tags = ['service']

  app.get(
    '/live',
    {
      schema: {
        operationId: 'getLiveness',
        tags,
        summary: 'Whether the process answers',
        response: { 200: Type.Object({ live: Type.Boolean() }) }
      }
    },
    async () => ({ live: true })
  )

  app.get(
    '/ready',
    {
      schema: {
        operationId: 'getReadiness',
        tags,
        summary: 'Whether predictions can be served, and how each part is',
        response: { 200: Readiness, 503: Readiness }
      }
    },
    async (_request, reply) => {
      const parts = {
        catalogue: await catalogue(db),
        redis: part(redis(), 'Redis', 'jobs wait in the catalogue until it is back'),
        engines: part(engines(), 'an inference process', 'predictions have to wait'),
        workers: present(workers.list().filter(({ draining }) => !draining).length)
      }
      // Training may wait for Redis and workers; serving does not need them.
      const ready = parts.catalogue.ready && parts.engines.ready
      return reply.code(ready ? 200 : 503).send({ ready, parts })
    }
  )
}

async function catalogue(db: Catalog) {
  try {
    await sql`select 1`.execute(db)
    return part(true, 'the catalogue', '')
  } catch (error) {
    return part(false, 'the catalogue', String(error))
  }
}

const part = (ready: boolean, what: string, otherwise: string) => ({
  ready,
  detail: ready ? `${what} answers` : `${what} is away: ${otherwise}`
})

const present = (count: number) => ({
  ready: count > 0,
  detail: count > 0 ? `${count} take jobs` : 'none takes jobs: they wait until one does'
})
