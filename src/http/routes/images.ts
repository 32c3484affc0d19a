/** `/v1/datasets/{id}/images`: the images of a dataset's newest version, one by one. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import multipart from '@fastify/multipart'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { getImage, listImages, type StoredImage } from '../../catalog/dataset-images.ts'
import { getDataset } from '../../catalog/datasets.ts'
import {
  AddedImages,
  DatasetImage,
  ImageChange,
  type SplitName,
  SplitName as SplitSchema
} from '../../contract/dataset.ts'
import { mediaTypeOf } from '../../image/sniff.ts'
import { namesTag } from '../byte-range.ts'
import { imageDocument } from '../dataset-document.ts'
import { findFaults } from '../faults.ts'
import { addImages, assertReady, relabelImage, removeImage } from '../image-changes.ts'
import { noContent, problemResponses } from '../responses.ts'
import { withStaging } from '../staging.ts'
import { invalidUpload, readUpload, type Upload } from '../uploads.ts'
import { DatasetPath, type DatasetRoutesOptions } from './datasets.ts'

const ImagePath = Type.Object({
  ...DatasetPath.properties,
  imageId: Type.String({ minLength: 1, maxLength: 100 })
})
const ImageQuery = Type.Object(
  {
    label: Type.Optional(Type.String({ maxLength: 400 })),
    split: Type.Optional(SplitSchema),
    limit: Type.Integer({ minimum: 1, maximum: 200, default: 50 }),
    cursor: Type.Optional(Type.String({ pattern: '^img_[0-9a-z]{26}$' }))
  },
  { additionalProperties: false }
)
const ImageList = Type.Object(
  { items: Type.Array(DatasetImage), next: Type.Union([Type.String(), Type.Null()]) },
  { $id: 'DatasetImageList' }
)

const uploadLimits = { files: 64, bytesPerFile: 64 * 1024 * 1024 } as const

const binary = Type.Unsafe<string>({ type: 'string', format: 'binary' })
const form = {
  content: {
    'multipart/form-data': {
      schema: Type.Object({
        label: Type.String(),
        split: Type.Optional(SplitSchema),
        file: Type.Array(binary, { minItems: 1, maxItems: uploadLimits.files })
      })
    }
  }
}

const tags = ['datasets']

export async function imageRoutes(instance: FastifyInstance, options: DatasetRoutesOptions) {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()
  const { db, images, quotas } = options
  await app.register(multipart)

  app.post(
    '/',
    {
      bodyLimit: uploadLimits.files * uploadLimits.bytesPerFile,
      config: { idempotency: 'upload' },
      validatorCompiler: () => () => true,
      schema: {
        operationId: 'addImages',
        tags,
        summary: 'Add 1 to 64 images under one label; makes a new version',
        description: 'An image that the dataset held before comes back into the split it had then.',
        params: DatasetPath,
        body: form as never,
        response: { 201: AddedImages, ...problemResponses(400, 404, 409, 413, 415, 422, 429, 507) }
      }
    },
    async (request, reply) => {
      const { id } = request.params as { readonly id: string }
      // Before gigabytes are read; but a first answer is given again whatever has changed since.
      if (request.idempotency?.reservation.kind !== 'answered') {
        const dataset = await getDataset(db, id)
        assertReady(dataset)
        await quotas.assertRoom(dataset.owner)
      }
      return withStaging(request, options, async ({ folder, rules }) => {
        const upload = await readUpload(request, {
          ...rules,
          fields: ['label', 'split'],
          maxFiles: uploadLimits.files,
          maxBytesPerFile: uploadLimits.bytesPerFile
        })
        const asked = readForm(upload)
        const files = upload.files.map(({ sha256 }) => sha256)
        if (await request.settleIdempotency({ ...asked, files }, reply)) return reply
        const staging = join(folder, 'staging')
        await mkdir(staging)
        const location = `/v1/datasets/${encodeURIComponent(id)}/images`
        const added = await addImages(options, id, {
          ...asked,
          files: upload.files,
          staging,
          remember: (trx, body) => request.rememberAnswer(trx, { status: 201, location, body })
        })
        return reply.code(201).header('location', location).send(added)
      })
    }
  )

  app.get(
    '/',
    {
      schema: {
        operationId: 'listImages',
        tags,
        summary: 'Images of the newest version, newest first',
        params: DatasetPath,
        querystring: ImageQuery,
        response: { 200: ImageList, ...problemResponses(404, 422) }
      }
    },
    async ({ params, query }) => {
      const { id } = await getDataset(db, params.id)
      const label = query.label?.normalize('NFC')
      const { rows, next } = await listImages(db, id, { ...query, label })
      return { items: rows.map(imageDocument), next }
    }
  )

  app.get(
    '/:imageId',
    {
      schema: {
        operationId: 'getImage',
        tags,
        summary: 'An image: its row, or with `Accept: image/*` its bytes',
        params: ImagePath,
        response: {
          200: DatasetImage,
          304: Type.Unsafe<void>({ type: 'null', description: 'The caller has these bytes' }),
          ...problemResponses(404)
        }
      }
    },
    async (request, reply) => {
      const { id, imageId } = request.params
      const image = await getImage(db, await getDataset(db, id), imageId)
      reply.header('vary', 'accept')
      if (!wantsBytes(request)) return reply.send(imageDocument(image))
      const etag = `"${image.sha256}"`
      reply.header('etag', etag)
      if (namesTag(request.headers['if-none-match'], etag)) return reply.code(304).send()
      return reply
        .type(mediaTypeOf[image.format])
        .header('content-length', image.bytes)
        .header('x-content-type-options', 'nosniff')
        .send(images.read(image.sha256) as never)
    }
  )

  app.patch(
    '/:imageId',
    {
      schema: {
        operationId: 'relabelImage',
        tags,
        summary: 'Give an image another label; makes a new version',
        params: ImagePath,
        body: ImageChange,
        response: { 200: DatasetImage, ...problemResponses(404, 409, 422) }
      }
    },
    async ({ params, body }) => {
      const { label } = body
      const image: StoredImage = await relabelImage(options, params.id, {
        image: params.imageId,
        label
      })
      return imageDocument(image)
    }
  )

  app.delete(
    '/:imageId',
    {
      schema: {
        operationId: 'deleteImage',
        tags,
        summary: 'Take an image out of the newest version; older versions keep it',
        params: ImagePath,
        response: { 204: noContent, ...problemResponses(404, 409) }
      }
    },
    async ({ params }, reply) => {
      await removeImage(options, params.id, params.imageId)
      return reply.code(204).send()
    }
  )
}

interface Asked {
  readonly label: string
  readonly split: SplitName | null
}

const Fields = Type.Object({ ...ImageChange.properties, split: Type.Optional(SplitSchema) })

function readForm({ fields, files }: Upload): Asked {
  const given = Object.fromEntries(fields)
  const faults = findFaults(Fields, given)
  if (files.length === 0) {
    const detail = `1 to ${uploadLimits.files} files are needed`
    faults.push({ pointer: '/file', detail, received: 0 })
  }
  if (faults.length > 0) throw invalidUpload(faults)
  return { label: given.label as string, split: (given.split as SplitName | undefined) ?? null }
}

/** Whether the first acceptable type is an image; browsers and JSON clients name others first. */
function wantsBytes({ headers }: FastifyRequest): boolean {
  const first = (headers.accept ?? '').split(',', 1)[0]?.trim().toLowerCase() ?? ''
  return first.startsWith('image/')
}
