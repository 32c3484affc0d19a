/** `/v1/workers`: who trains, and how to take a worker out of service without disturbing its jobs. */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { jobsByWorker } from '../../catalog/jobs.ts'
import type { Catalog } from '../../catalog/open.ts'
import { Worker } from '../../contract/worker.ts'
import type { WorkerEntry, WorkerRegistry } from '../../service/worker-registry.ts'
import { problemResponses } from '../responses.ts'

export interface WorkerRoutesOptions {
  readonly db: Catalog
  readonly workers: WorkerRegistry
}

const WorkerPath = Type.Object({ id: Type.String({ minLength: 1, maxLength: 300 }) })
const WorkerList = Type.Object({ items: Type.Array(Worker) }, { $id: 'WorkerList' })

const tags = ['workers']

const verbs = [
  ['drain', 'drain', 'Have a worker finish its jobs and take nothing new'],
  ['resume', 'work', 'Have a draining worker take jobs again']
] as const

export async function workerRoutes(instance: FastifyInstance, options: WorkerRoutesOptions) {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()
  const { db, workers } = options

  app.get(
    '/',
    {
      schema: {
        operationId: 'listWorkers',
        tags,
        summary: 'Workers that are there, and the jobs that each holds',
        response: { 200: WorkerList }
      }
    },
    async () => {
      const jobs = await jobsByWorker(db)
      return { items: workers.list().map((worker) => workerDocument(worker, jobs)) }
    }
  )

  for (const [verb, order, summary] of verbs) {
    app.post(
      `/:id/${verb}`,
      {
        schema: {
          operationId: `${verb}Worker`,
          tags,
          summary,
          params: WorkerPath,
          response: { 202: Worker, ...problemResponses(404) }
        }
      },
      async (request, reply) => {
        const worker = workers.order(request.params.id, order)
        return reply.code(202).send(workerDocument(worker, await jobsByWorker(db)))
      }
    )
  }
}

function workerDocument(worker: WorkerEntry, jobs: ReadonlyMap<string, string[]>): Worker {
  const { id, busy, draining } = worker
  return { ...worker, drained: draining && busy === 0, jobs: jobs.get(id) ?? [] }
}
