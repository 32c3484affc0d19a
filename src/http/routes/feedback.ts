/** `/v1/models/{name}/feedback` and `/accuracy`: what predicted images really showed. */
import { copyFile, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import multipart from '@fastify/multipart'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { type TSchema, Type } from 'typebox'
import { getDataset } from '../../catalog/datasets.ts'
import { countAnswers, listFeedback, storeFeedback } from '../../catalog/feedback.ts'
import {
  type AddedTo,
  Feedback,
  FeedbackAnswer,
  FeedbackBatch,
  FeedbackForm,
  FeedbackItem,
  LiveAccuracy
} from '../../contract/feedback.ts'
import type { UploadedFile } from '../../contract/importer.ts'
import { ModelPath } from '../../contract/model.ts'
import { VariantName } from '../../contract/report.ts'
import { asDiskError, ServiceError } from '../../errors.ts'
import {
  type AskedFeedback,
  type CheckedFeedback,
  checkFeedback,
  type FeedbackDeps,
  giveFeedback
} from '../../service/give-feedback.ts'
import { liveAccuracy } from '../../service/live-accuracy.ts'
import type { PredictionMemory } from '../../service/prediction-memory.ts'
import type { Quotas } from '../../service/quotas.ts'
import { findFaults } from '../faults.ts'
import { addImages, assertReady, type ImageChanges } from '../image-changes.ts'
import { requireScope } from '../plugins/auth.ts'
import { problemOf } from '../plugins/problem.ts'
import { problemResponses } from '../responses.ts'
import { type StagingOptions, withStaging } from '../staging.ts'
import { invalidUpload, readUpload } from '../uploads.ts'
import { validatorCompiler } from '../validation.ts'

export interface FeedbackRoutesOptions extends FeedbackDeps, ImageChanges, StagingOptions {
  readonly memory: FeedbackDeps['memory'] & Pick<PredictionMemory, 'keptImage'>
  readonly imports: ImageChanges['imports'] & StagingOptions['imports']
  readonly quotas: ImageChanges['quotas'] & Pick<Quotas, 'assertRoom'>
}

const chosen = {
  version: Type.Optional(Type.Integer({ minimum: 1, maximum: 999_999_999 })),
  variant: Type.Optional(VariantName)
}
const AccuracyQuery = Type.Object(chosen, { additionalProperties: false })
const FeedbackQuery = Type.Object(
  {
    ...chosen,
    correct: Type.Optional(Type.Boolean()),
    limit: Type.Integer({ minimum: 1, maximum: 200, default: 50 }),
    cursor: Type.Optional(Type.String({ pattern: '^[1-9][0-9]{0,14}$' }))
  },
  { additionalProperties: false }
)
const FeedbackList = Type.Object(
  { items: Type.Array(Feedback), next: Type.Union([Type.String(), Type.Null()]) },
  { $id: 'FeedbackList' }
)

const largestImage = 20 * 1024 * 1024
const image = Type.Unsafe<string>({ type: 'string', format: 'binary' })
const body = {
  content: {
    'application/json': { schema: Type.Union([FeedbackItem, FeedbackForm, FeedbackBatch]) },
    'multipart/form-data': { schema: Type.Object({ ...FeedbackForm.properties, image }) }
  }
}
const tags = ['predictions']

export async function feedbackRoutes(instance: FastifyInstance, options: FeedbackRoutesOptions) {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()
  const { db } = options
  await app.register(multipart)

  app.post(
    '/:name/feedback',
    {
      validatorCompiler: (route) =>
        route.httpPart === 'body' ? () => true : validatorCompiler(route),
      schema: {
        operationId: 'giveFeedback',
        tags,
        summary: 'Say what an image that was predicted really showed',
        description:
          'One image, or up to 200 as `items`. What is said later of the same image replaces what was said before. As multipart/form-data with the image itself, the image is also added to the dataset `addTo`, for which scope `train` is needed; as JSON, where images are kept (`WHITTLE_KEEP_IMAGES`).',
        params: ModelPath,
        body: body as never,
        response: {
          200: FeedbackAnswer,
          ...problemResponses(400, 403, 404, 409, 413, 415, 422, 429, 507)
        }
      }
    },
    async (request) => {
      const { name } = request.params as { readonly name: string }
      if (request.isMultipart()) return addSent(request, name, options)
      const { body } = request
      if (isBatch(body)) {
        check<FeedbackBatch>(FeedbackBatch, body)
        const answers = await giveFeedback(options, name, body.items)
        return {
          items: answers.map((answer) =>
            answer instanceof ServiceError ? { error: problemOf(answer) } : answer
          )
        }
      }
      if (Object.hasOwn(Object(body), 'addTo')) return addKept(request, name, options)
      check<FeedbackItem>(FeedbackItem, body)
      const [answer] = await giveFeedback(options, name, [body])
      if (answer === undefined) throw new Error('Cannot answer: there is one item and no answer')
      if (answer instanceof ServiceError) throw answer
      return answer
    }
  )

  app.get(
    '/:name/feedback',
    {
      schema: {
        operationId: 'listFeedback',
        tags,
        summary: 'What was said of the predictions of a model, newest first',
        params: ModelPath,
        querystring: FeedbackQuery,
        response: { 200: FeedbackList, ...problemResponses(404, 422) }
      }
    },
    async ({ params, query: { limit, cursor, ...filter } }) => {
      const before = cursor === undefined ? null : Number(cursor)
      const { items, next } = await listFeedback(db, params.name, { limit, before, ...filter })
      return { items, next: next === null ? null : String(next) }
    }
  )

  app.get(
    '/:name/accuracy',
    {
      schema: {
        operationId: 'getLiveAccuracy',
        tags,
        summary: 'How often each variant of a model was right, by the feedback to it',
        description:
          'With 95 % intervals (Wilson). They hold for images like those that were fed back, which need not be like those that were predicted.',
        params: ModelPath,
        querystring: AccuracyQuery,
        response: { 200: LiveAccuracy, ...problemResponses(404, 422) }
      }
    },
    async ({ params: { name }, query }) => liveAccuracy(name, await countAnswers(db, name, query))
  )
}

const isBatch = (given: unknown): boolean =>
  typeof given === 'object' && given !== null && Object.hasOwn(given, 'items')

/** @throws ServiceError REQUEST_INVALID with a pointer per fault */
function check<T>(schema: TSchema, given: unknown): asserts given is T {
  const errors = findFaults(schema, given).map((fault) =>
    /^\/items\/\d+\/addTo$/.test(fault.pointer)
      ? { ...fault, detail: 'is for one image at a time: send it without `items`' }
      : fault
  )
  if (errors.length === 0) return
  throw new ServiceError('REQUEST_INVALID', {
    detail: `Cannot accept the request body: ${errors.length === 1 ? 'one fault' : `${errors.length} faults`} found`,
    errors
  })
}

/** The image comes with the feedback. */
async function addSent(
  request: FastifyRequest,
  model: string,
  options: FeedbackRoutesOptions
): Promise<Feedback> {
  requireScope(request, 'train')
  return withStaging(request, options, async ({ folder, rules }) => {
    const { fields, files } = await readUpload(request, {
      ...rules,
      fields: Object.keys(FeedbackForm.properties),
      fileFields: ['image'],
      maxFiles: 1,
      maxBytesPerFile: largestImage
    })
    const asked = readForm(fields, files.length)
    const checked = await checkFeedback(options, model, asked)
    const { sha256 } = checked.prediction
    const sent = files[0]?.sha256
    if (sha256 !== null && sent !== sha256) {
      const detail = `must be the image that was predicted, with SHA-256 ${sha256}`
      throw invalidUpload([{ pointer: '/image', detail, received: sent }])
    }
    return add(options, { checked, addTo: asked.addTo, files, folder })
  })
}

/** The image is one that is kept. */
async function addKept(
  request: FastifyRequest,
  model: string,
  options: FeedbackRoutesOptions
): Promise<Feedback> {
  requireScope(request, 'train')
  const { body } = request
  check<Asked>(FeedbackForm, body)
  const checked = await checkFeedback(options, model, body)
  const { sha256 } = checked.prediction
  return withStaging(request, options, async ({ folder, rules }) => {
    const path = join(folder, 'image')
    const kept = sha256 === null ? null : await options.memory.keptImage(sha256)
    if (kept !== null) await rules.admit(kept.bytes)
    if (sha256 === null || kept === null || !(await copyIfAny(kept.path, path))) {
      const detail =
        'needs the image, which is not kept: send multipart/form-data with the file `image`'
      throw invalidUpload([{ pointer: '/addTo', detail, received: body.addTo }])
    }
    const files = [{ path, name: sha256 }]
    return add(options, { checked, addTo: body.addTo, files, folder })
  })
}

/** Whether there was such a file: the oldest that are kept go at any time. */
async function copyIfAny(from: string, to: string): Promise<boolean> {
  try {
    await copyFile(from, to)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw asDiskError(error, 'copy the image')
  }
}

interface Addition {
  readonly checked: CheckedFeedback
  readonly addTo: string
  readonly files: readonly UploadedFile[]
  readonly folder: string
}

/** Stores the feedback and adds the image in one transaction. */
async function add(
  options: FeedbackRoutesOptions,
  { checked, addTo, files, folder }: Addition
): Promise<Feedback> {
  const dataset = await getDataset(options.db, addTo)
  assertReady(dataset)
  await options.quotas.assertRoom(dataset.owner)
  const staging = join(folder, 'staging')
  await mkdir(staging)
  const stored: Feedback[] = []
  await addImages(options, dataset.id, {
    files,
    label: checked.label,
    split: null,
    staging,
    remember: async (trx, added) => {
      const addedTo: AddedTo = { dataset: dataset.name, ...added }
      stored.push(await storeFeedback(trx, { ...checked, addedTo }, new Date()))
    }
  })
  const [feedback] = stored
  if (feedback === undefined) throw new Error('Cannot answer: the feedback was not stored')
  return feedback
}

type Asked = AskedFeedback & { readonly addTo: string }

function readForm(fields: ReadonlyMap<string, string>, files: number): Asked {
  const { index, ...texts } = Object.fromEntries(fields)
  const given = {
    ...texts,
    ...(index === undefined ? {} : { index: /^\d{1,3}$/.test(index) ? Number(index) : index })
  }
  const faults = findFaults(FeedbackForm, given)
  if (files === 0) faults.push({ pointer: '/image', detail: 'is required: a file', received: 0 })
  if (faults.length > 0) throw invalidUpload(faults)
  return given as unknown as Asked
}
