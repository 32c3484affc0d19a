/** `/v1/datasets`: datasets as callers upload, follow and delete them. */
import multipart from '@fastify/multipart'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { Blobs } from '../../blob/blobs.ts'
import {
  assertNameIsFree,
  createDataset,
  type DatasetRow,
  deleteDataset,
  getDataset,
  listDatasets,
  listVersions,
  versionFacts
} from '../../catalog/datasets.ts'
import { newId } from '../../catalog/id.ts'
import type { Catalog } from '../../catalog/open.ts'
import { Dataset, DatasetVersion } from '../../contract/dataset.ts'
import { Name } from '../../contract/job.ts'
import type { Imports } from '../../service/imports.ts'
import type { Quotas } from '../../service/quotas.ts'
import { datasetDocument, versionDocument } from '../dataset-document.ts'
import { findFaults } from '../faults.ts'
import { noContent, problemResponses } from '../responses.ts'
import { type Staging, type StagingOptions, withStaging } from '../staging.ts'
import {
  announcedBytes,
  invalidUpload,
  type ReceivedFile,
  readUpload,
  type Upload
} from '../uploads.ts'

export interface DatasetRoutesOptions {
  readonly db: Catalog
  /** Contents of the datasets' images. */
  readonly images: Blobs
  readonly imports: Imports
  readonly quotas: Quotas
  readonly storage: StagingOptions['storage']
  readonly maxUploadBytes: number
}

export const DatasetPath = Type.Object({ id: Type.String({ minLength: 1, maxLength: 100 }) })

const Page = { limit: Type.Integer({ minimum: 1, maximum: 200, default: 50 }) }
const closed = { additionalProperties: false }
const DatasetQuery = Type.Object(
  { ...Page, cursor: Type.Optional(Type.String({ pattern: '^ds_[0-9a-z]{26}$' })) },
  closed
)
const VersionQuery = Type.Object(
  { ...Page, cursor: Type.Optional(Type.String({ pattern: '^[1-9][0-9]{0,8}$' })) },
  closed
)
const next = Type.Union([Type.String(), Type.Null()])
const DatasetList = Type.Object({ items: Type.Array(Dataset), next }, { $id: 'DatasetList' })
const VersionList = Type.Object(
  { items: Type.Array(DatasetVersion), next },
  { $id: 'DatasetVersionList' }
)

/** What the multipart body is made of; the parts are read as they come, so this only documents. */
const form = {
  content: {
    'multipart/form-data': {
      schema: Type.Object({
        name: Name,
        strict: Type.Optional(Type.Boolean({ default: false })),
        file: Type.Optional(
          Type.Unsafe<string>({ type: 'string', format: 'binary', description: 'zip, tar, tar.gz' })
        )
      })
    }
  }
}

const tags = ['datasets']

export async function datasetRoutes(instance: FastifyInstance, options: DatasetRoutesOptions) {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()
  const { db, imports, quotas, maxUploadBytes } = options
  await app.register(multipart)

  app.post(
    '/',
    {
      bodyLimit: maxUploadBytes,
      config: { idempotency: 'upload' },
      // The body is not a JSON value that a validator could see.
      validatorCompiler: () => () => true,
      schema: {
        operationId: 'createDataset',
        tags,
        summary: 'Upload a labelled archive, or create an empty dataset',
        body: form as never,
        response: {
          202: Dataset,
          201: Dataset,
          ...problemResponses(400, 409, 413, 415, 422, 429, 507)
        }
      }
    },
    async (request, reply) => {
      // Before gigabytes are read; but a first answer is given again whatever has changed since.
      if (request.idempotency?.reservation.kind !== 'answered')
        await quotas.assertRoom(request.caller?.id ?? null, announcedBytes(request))
      return withStaging(request, options, async ({ rules, holdRoom }) => {
        const limits = { fields: ['name', 'strict'], maxFiles: 1, maxBytesPerFile: maxUploadBytes }
        const upload = await readUpload(request, { ...rules, ...limits })
        const asked = readForm(upload)
        const payload = { ...asked, file: upload.files[0]?.sha256 ?? null }
        if (await request.settleIdempotency(payload, reply)) return reply
        const creation = { ...asked, archive: upload.files[0], holdRoom }
        const { status, location, body } = await accept(request, creation, options)
        return reply.code(status).header('location', location).send(body)
      })
    }
  )

  app.get(
    '/',
    {
      schema: {
        operationId: 'listDatasets',
        tags,
        summary: 'Datasets, newest first',
        querystring: DatasetQuery,
        response: { 200: DatasetList, ...problemResponses(422) }
      }
    },
    async ({ query }) => {
      const { rows, next } = await listDatasets(db, query)
      return { items: await Promise.all(rows.map((row) => describe(options, row))), next }
    }
  )

  app.get(
    '/:id',
    {
      schema: {
        operationId: 'getDataset',
        tags,
        summary: 'A dataset by id or name, with its import report',
        params: DatasetPath,
        response: { 200: Dataset, ...problemResponses(404) }
      }
    },
    async ({ params }) => describe(options, await getDataset(db, params.id))
  )

  app.get(
    '/:id/versions',
    {
      schema: {
        operationId: 'listDatasetVersions',
        tags,
        summary: 'Frozen versions, newest first',
        params: DatasetPath,
        querystring: VersionQuery,
        response: { 200: VersionList, ...problemResponses(404, 422) }
      }
    },
    async ({ params, query: { limit, cursor } }) => {
      const { id } = await getDataset(db, params.id)
      const before = cursor === undefined ? null : Number(cursor)
      const { rows, next } = await listVersions(db, id, { limit, before })
      return { items: rows.map(versionDocument), next: next === null ? null : String(next) }
    }
  )

  app.delete(
    '/:id',
    {
      schema: {
        operationId: 'deleteDataset',
        tags,
        summary: 'Delete a dataset with its versions and images',
        params: DatasetPath,
        response: { 204: noContent, ...problemResponses(404, 409) }
      }
    },
    async ({ params }, reply) => {
      const { id } = await deleteDataset(db, params.id)
      await imports.forget(id)
      return reply.code(204).send()
    }
  )
}

interface Asked {
  readonly name: string
  readonly strict: boolean
}

const Fields = Type.Object({ name: Name, strict: Type.Optional(Type.Enum(['true', 'false'])) })

/** Multipart fields are texts; the contract's boolean is spelled out. */
function readForm({ fields }: Upload): Asked {
  const given = Object.fromEntries(fields)
  const faults = findFaults(Fields, given)
  if (faults.length > 0) throw invalidUpload(faults)
  return { name: given.name as string, strict: given.strict === 'true' }
}

interface Creation extends Asked, Pick<Staging, 'holdRoom'> {
  readonly archive: ReceivedFile | undefined
}

/** The archive lies where its import looks for it before the row says that there is one. */
async function accept(
  request: FastifyRequest,
  { name, strict, archive, holdRoom }: Creation,
  { db, imports, quotas }: DatasetRoutesOptions
) {
  const id = newId('ds')
  const owner = request.caller?.id ?? null
  const hasArchive = archive !== undefined
  await assertNameIsFree(db, name)
  try {
    if (hasArchive) {
      await holdRoom(id, archive.bytes)
      await imports.keepArchive(id, archive.path)
    }
    const answer = await db.transaction().execute(async (trx) => {
      const row = await createDataset(trx, { id, name, strict, hasArchive, owner })
      if (hasArchive) await quotas.reserve(trx, row, { archive: archive.bytes })
      const status = hasArchive ? (202 as const) : (201 as const)
      const body = datasetDocument(row, undefined)
      const creation = { status, location: `/v1/datasets/${id}`, body }
      await request.rememberAnswer(trx, creation)
      return creation
    })
    if (hasArchive) await imports.dispatch(id, 1)
    return answer
  } catch (error) {
    await imports.dropArchive(id)
    throw error
  }
}

async function describe(
  { db, imports }: Pick<DatasetRoutesOptions, 'db' | 'imports'>,
  row: DatasetRow
): Promise<Dataset> {
  const facts = row.version === null ? undefined : await versionFacts(db, row.id, row.version)
  return datasetDocument(row, facts, imports.waitsFor(row.id))
}
