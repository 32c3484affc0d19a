/** `/v1/models/{name}/versions/{n}/artifacts/{file}`: the files of a version, whole or in part. */
import { Readable } from 'node:stream'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { readArtifact } from '../../catalog/models.ts'
import { ArtifactPath } from '../../contract/model.ts'
import { ServiceError } from '../../errors.ts'
import { byteRange, namesTag } from '../byte-range.ts'
import { problemResponses } from '../responses.ts'
import type { ModelRoutesOptions } from './models.ts'

const file = {
  description: 'The bytes of the file',
  content: { 'application/octet-stream': { schema: Type.Unsafe({ type: 'string' }) } }
}

export async function artifactRoutes(
  instance: FastifyInstance,
  options: Pick<ModelRoutesOptions, 'db' | 'blobs'>
) {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()
  const { db, blobs } = options

  app.get(
    '/:name/versions/:version/artifacts/:file',
    {
      schema: {
        operationId: 'getArtifact',
        tags: ['models'],
        summary: 'A file of a version; ranges and entity tags are honoured',
        params: ArtifactPath,
        response: {
          200: file,
          206: { ...file, description: 'A part of the file' },
          304: Type.Unsafe<void>({ type: 'null', description: 'The caller has these bytes' }),
          ...problemResponses(404, 416)
        }
      }
    },
    async (request, reply) => {
      const { headers, method } = request
      const { sha256, bytes, mediaType } = await readArtifact(db, request.params)
      const etag = `"${sha256}"`
      reply.headers({ etag, 'accept-ranges': 'bytes', 'x-content-type-options': 'nosniff' })
      if (namesTag(headers['if-none-match'], etag)) return reply.code(304).send()
      const ifRange = headers['if-range']?.toString()
      const part =
        method === 'GET' ? byteRange({ range: headers.range, ifRange, etag, bytes }) : null
      if (part === 'unsatisfiable') {
        reply.header('content-range', `bytes */${bytes}`)
        throw new ServiceError('RANGE_NOT_SATISFIABLE', {
          detail: `Cannot send the range: the file has ${bytes} bytes, received ${headers.range}`
        })
      }
      reply.type(mediaType).header('content-length', part ? part.end - part.start + 1 : bytes)
      // Only of a stream does Fastify leave the stated length alone.
      if (method === 'HEAD') return reply.send(Readable.from([]))
      if (part === null) return reply.send(blobs.read(sha256))
      reply.code(206).header('content-range', `bytes ${part.start}-${part.end}/${bytes}`)
      return reply.send(blobs.read(sha256, part))
    }
  )
}
