/** `/internal/v1/jobs/{id}/checkpoints|artifacts|latency`: the files of jobs, and what is measured of them. */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { Type } from 'typebox'
import type { Blobs } from '../../blob/blobs.ts'
import { findFile, keepFile, type StoredFile } from '../../catalog/job-files.ts'
import { getJob } from '../../catalog/jobs.ts'
import { evaluationTask } from '../../catalog/judged-version.ts'
import type { Catalog } from '../../catalog/open.ts'
import { LatencyRequest } from '../../contract/internal.ts'
import type { Latency, VariantName } from '../../contract/report.ts'
import { type ErrorCode, ServiceError } from '../../errors.ts'
import type { Dispatcher } from '../../service/dispatcher.ts'
import type { Storage } from '../../service/storage.ts'
import { announcedBytes } from '../uploads.ts'
import { waitPatiently } from '../wait-patiently.ts'
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
  readonly storage: Pick<Storage, 'reserve'>
  readonly measureLatency: MeasureLatency
}

const FilePath = Type.Object({
  ...JobPath.properties,
  name: Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$' })
})
const UploadHeaders = Type.Object({
  'content-sha256': Type.String({ pattern: '^[0-9a-f]{64}$' }),
  'whittle-damaged': Type.Optional(Type.String({ maxLength: 1000 }))
})

/** Weights with optimizer slots of the largest network that the memory estimate lets through. */
const largestFile = 16 * 1024 ** 3

export async function internalFileRoutes(instance: FastifyInstance, options: InternalFileOptions) {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()
  const { db, blobs, dispatcher, measureLatency, storage } = options
  app.addContentTypeParser('application/octet-stream', (_request, stream, done) =>
    done(null, stream)
  )

  for (const [folder, kind] of folders) {
    app.put(
      `/:id/${folder}/:name`,
      { onRequest: fence(db), schema: { hide: true, params: FilePath, headers: UploadHeaders } },
      async (request, reply) => {
        const { 'content-sha256': expectSha256, 'whittle-damaged': damaged = '' } = request.headers
        const body = request.body as AsyncIterable<Uint8Array>
        const { name } = request.params
        const room = await storage.reserve('job', announcedBytes(request))
        const admit = (bytes: number) => room.take(bytes)
        try {
          const rules = { expectSha256, maxBytes: largestFile, admit }
          const outdated = await blobs.keep(body, rules, (stored) =>
            keepFile(db, attemptOf(request), kind, {
              name,
              ...stored,
              damaged: damaged.split(',')
            })
          )
          await dispatcher.tidy(outdated)
        } finally {
          room.release()
        }
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
      return sendStored(reply, blobs, { ...file, damage: 'CHECKPOINT_DAMAGED' })
    }
  )

  app.get(
    '/:id/models/:name',
    { onRequest: fence(db), schema: { hide: true, params: FilePath } },
    async (request, reply) => {
      const { id, name } = request.params
      const job = await getJob(db, id)
      const variants = job.kind === 'evaluate' ? (await evaluationTask(db, job)).variants : []
      const file = variants.find((variant) => variant.file === name)
      if (file === undefined) throw missing(name)
      return sendStored(reply, blobs, { ...file, name, damage: 'MODEL_INVALID' })
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

/** Aborts when the worker hangs up: its measurement would only hold up others. */
function untilGone(reply: FastifyReply): AbortSignal {
  const gone = new AbortController()
  reply.raw.once('close', () => gone.abort())
  return gone.signal
}

async function sendStored(
  reply: FastifyReply,
  blobs: Blobs,
  file: StoredFile & { readonly damage: ErrorCode }
) {
  // What ends too early looks like a broken connection, and would be asked for again and again.
  const bytes = await blobs.size(file.sha256)
  if (bytes !== file.bytes) throw cutShort(file, bytes)
  return reply
    .type('application/octet-stream')
    .header('content-sha256', file.sha256)
    .header('content-length', file.bytes)
    .send(blobs.read(file.sha256))
}

function cutShort(
  { name, bytes, damage }: StoredFile & { readonly damage: ErrorCode },
  received: number | null
): ServiceError {
  return new ServiceError(damage, {
    detail: `Cannot read ${name}: expected ${bytes} bytes, received ${received ?? 'no file'}`
  })
}

function missing(name: string): ServiceError {
  return new ServiceError('ARTIFACT_NOT_FOUND', {
    detail: `Cannot find the file: the job has none of this name, received ${name}`
  })
}
