/** `/internal/v1/jobs/{id}/checkpoints|artifacts|latency`: the files of jobs, and what is measured of them. */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { Blobs } from '../../blob/blobs.ts'
import { findFile, keepFile } from '../../catalog/job-files.ts'
import type { Catalog } from '../../catalog/open.ts'
import { LatencyRequest } from '../../contract/internal.ts'
import type { Latency, VariantName } from '../../contract/report.ts'
import { ServiceError } from '../../errors.ts'
import type { Dispatcher } from '../dispatcher.ts'
import { attemptOf, fence, JobPath } from './internal-jobs.ts'

/** Measures variants against each other in a fresh process, one request at a time (infer/measure.ts). */
export type MeasureLatency = (question: {
  readonly variants: readonly { readonly variant: VariantName; readonly path: string }[]
  readonly batch: number
  readonly threads: number
  readonly runs: number
  readonly signal: AbortSignal
}) => Promise<Record<string, Latency>>

export interface InternalFileOptions {
  readonly db: Catalog
  readonly blobs: Blobs
  readonly dispatcher: Dispatcher
  readonly measureLatency: MeasureLatency
}

const FilePath = Type.Object({
  ...JobPath.properties,
  name: Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$' })
})
const Digest = Type.Object({ 'content-sha256': Type.String({ pattern: '^[0-9a-f]{64}$' }) })

/** Weights with optimizer slots of the largest network that the memory estimate lets through. */
const largestFile = 16 * 1024 ** 3

export async function internalFileRoutes(instance: FastifyInstance, options: InternalFileOptions) {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()
  const { db, blobs, dispatcher, measureLatency } = options
  app.addContentTypeParser('application/octet-stream', (_request, stream, done) =>
    done(null, stream)
  )

  for (const [folder, kind] of folders) {
    app.put(
      `/:id/${folder}/:name`,
      { onRequest: fence(db), schema: { hide: true, params: FilePath, headers: Digest } },
      async (request, reply) => {
        const expectSha256 = request.headers['content-sha256']
        const body = request.body as AsyncIterable<Uint8Array>
        const stored = await blobs.put(body, { expectSha256, maxBytes: largestFile })
        const file = { name: request.params.name, ...stored }
        await dispatcher.tidy(await keepFile(db, attemptOf(request), kind, file))
        await stillThere(blobs, stored.sha256)
        return reply.code(204).send()
      }
    )
  }

  app.get(
    '/:id/checkpoints/:name',
    { onRequest: fence(db), schema: { hide: true, params: FilePath } },
    async (request, reply) => {
      const { id, name } = request.params
      const file = await findFile(db, id, 'checkpoint', name)
      if (file === undefined) throw missing(name)
      return reply
        .type('application/octet-stream')
        .header('content-sha256', file.sha256)
        .header('content-length', file.bytes)
        .send(blobs.read(file.sha256))
    }
  )

  app.post(
    '/:id/latency',
    { onRequest: fence(db), schema: { hide: true, params: JobPath, body: LatencyRequest } },
    async (request, reply) => {
      waitPatiently(request)
      const { variants, ...rest } = request.body
      const located: { variant: VariantName; path: string }[] = []
      for (const { variant, file } of variants) {
        const found = await findFile(db, request.params.id, 'artifact', file)
        if (found === undefined) throw missing(file)
        located.push({ variant, path: blobs.path(found.sha256) })
      }
      const signal = untilGone(reply)
      return { latencies: await measureLatency({ variants: located, ...rest, signal }) }
    }
  )
}

const folders = [
  ['checkpoints', 'checkpoint'],
  ['artifacts', 'artifact']
] as const

/** Another job may have dropped the same content between our writing it and our referring to it. */
async function stillThere(blobs: Blobs, sha256: string): Promise<void> {
  if (await blobs.has(sha256)) return
  throw new ServiceError('INTERNAL', {
    detail: 'Cannot keep the file: it was swept; send it again'
  })
}

/** Measurements wait for each other; the connection says nothing meanwhile and must not be closed. */
function waitPatiently(request: FastifyRequest): void {
  const { socket } = request.raw
  const usualMs = socket.timeout ?? 0
  socket.setTimeout(0)
  request.raw.once('close', () => socket.setTimeout(usualMs))
}

/** Aborts when the worker hangs up: its measurement would only hold up others. */
function untilGone(reply: FastifyReply): AbortSignal {
  const gone = new AbortController()
  reply.raw.once('close', () => gone.abort())
  return gone.signal
}

function missing(name: string): ServiceError {
  return new ServiceError('ARTIFACT_NOT_FOUND', {
    detail: `Cannot find the file: the job has none of this name, received ${name}`
  })
}
