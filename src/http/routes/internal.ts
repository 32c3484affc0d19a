/** `/internal/v1`: everything that workers call, behind their token. */
import { Readable } from 'node:stream'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import type { Blobs } from '../../blob/blobs.ts'
import type { Manifest } from '../../catalog/datasets.ts'
import { WorkerStatus } from '../../contract/internal.ts'
import type { WorkerRegistry } from '../../service/worker-registry.ts'
import { datasetTar } from '../dataset-tar.ts'
import { requireToken } from '../worker-token.ts'
import { type InternalFileOptions, internalFileRoutes } from './internal-files.ts'
import { type InternalJobOptions, internalJobRoutes } from './internal-jobs.ts'

export interface InternalRoutesOptions extends InternalFileOptions, InternalJobOptions {
  readonly workerToken: string | null
  readonly workers: WorkerRegistry
  /** Contents of the datasets' images. */
  readonly images: Blobs
  /** @throws ServiceError DATASET_NOT_FOUND */
  readonly datasetManifest: (id: string, version: number) => Promise<Manifest>
}

const WorkerPath = Type.Object({ id: Type.String({ minLength: 1, maxLength: 300 }) })

const VersionPath = Type.Object({
  id: Type.String({ maxLength: 100 }),
  version: Type.Integer({ minimum: 1 })
})

export async function internalRoutes(instance: FastifyInstance, options: InternalRoutesOptions) {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()
  const { workers, images, datasetManifest } = options
  app.addHook('onRequest', requireToken(options.workerToken))

  app.register(internalJobRoutes, { ...options, prefix: '/jobs' })
  app.register(internalFileRoutes, { ...options, prefix: '/jobs' })

  app.put(
    '/workers/:id',
    { schema: { hide: true, params: WorkerPath, body: WorkerStatus } },
    async (request) => workers.note(request.params.id, request.body)
  )

  app.delete(
    '/workers/:id',
    { schema: { hide: true, params: WorkerPath } },
    async (request, reply) => {
      workers.forget(request.params.id)
      return reply.code(204).send()
    }
  )

  app.get(
    '/datasets/:id/versions/:version',
    { schema: { hide: true, params: VersionPath } },
    async (request, reply) => {
      const manifest = await datasetManifest(request.params.id, request.params.version)
      return reply.type('application/x-ndjson').send(Readable.from(lines(manifest)))
    }
  )

  app.get(
    '/datasets/:id/versions/:version/images',
    { schema: { hide: true, params: VersionPath } },
    async (request, reply) => {
      const manifest = await datasetManifest(request.params.id, request.params.version)
      const tar = datasetTar(manifest.images, (sha256) => images.read(sha256))
      return reply.type('application/x-tar').send(tar)
    }
  )
}

/** Some hundred lines at a time: one chunk a line would cost a write each. */
const linesAtOnce = 500

async function* lines({ header, images }: Manifest): AsyncGenerator<string> {
  let text = `${JSON.stringify(header)}\n`
  let waiting = 0
  for await (const image of images) {
    text += `${JSON.stringify(image)}\n`
    if (++waiting < linesAtOnce) continue
    yield text
    text = ''
    waiting = 0
  }
  yield text
}
