/** `POST /v1/models/{name}/predictions`: encoded images in, labels out. */
import multipart from '@fastify/multipart'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { Type } from 'typebox'
import type { Blobs } from '../../blob/blobs.ts'
import { newId } from '../../catalog/id.ts'
import type { ServedModels, ServedVariant } from '../../catalog/served-models.ts'
import { ModelPath } from '../../contract/model.ts'
import {
  EncodedImages,
  imageTypes,
  type Prediction,
  PredictionAnswer,
  PredictionQuery,
  predictionLimits
} from '../../contract/prediction.ts'
import { type ErrorCode, ServiceError } from '../../errors.ts'
import type { InputShape } from '../../image/preprocess.ts'
import type { Engines } from '../../infer/engines.ts'
import type { EngineModel, Verdict } from '../../infer/messages.ts'
import { ByteBudget } from '../byte-budget.ts'
import { problemOf } from '../plugins/problem.ts'
import { formOf, readImages, type SentImage } from '../prediction-images.ts'
import { problemResponses } from '../responses.ts'
import { validatorCompiler } from '../validation.ts'

export interface PredictionRoutesOptions {
  readonly served: ServedModels
  readonly engines: Engines
  readonly blobs: Blobs
  /** A request body must arrive within. @default 60 000 */
  readonly arrivalMs?: number
}

/** Bytes of bodies in memory at a time: four of the largest requests. */
const budgetBytes = 4 * predictionLimits.bytesPerRequest + 16 * 1024 * 1024

const encodedImage = { schema: Type.Unsafe<string>({ type: 'string', format: 'binary' }) }
const body = {
  content: {
    ...Object.fromEntries(imageTypes.map((type) => [type, encodedImage])),
    'multipart/form-data': {
      schema: Type.Object({
        image: Type.Array(encodedImage.schema, {
          minItems: 1,
          maxItems: predictionLimits.images
        })
      })
    },
    'application/json': { schema: EncodedImages }
  }
}

export async function predictionRoutes(
  instance: FastifyInstance,
  options: PredictionRoutesOptions
): Promise<void> {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()
  const { arrivalMs = 60_000 } = options
  const budget = new ByteBudget(budgetBytes)
  // Bodies are read by `readImages`, which knows their limits; no parser may touch them before.
  app.removeAllContentTypeParsers()
  await app.register(multipart, { throwFileSizeLimit: false })
  app.addContentTypeParser('*', (_request, _payload, done) => done(null))

  app.post(
    '/:name/predictions',
    {
      validatorCompiler: (route) =>
        route.httpPart === 'body' ? () => true : validatorCompiler(route),
      schema: {
        operationId: 'predict',
        tags: ['predictions'],
        summary: 'Classify 1 to 64 encoded images',
        params: ModelPath,
        querystring: PredictionQuery,
        body,
        response: {
          200: PredictionAnswer,
          ...problemResponses(400, 404, 408, 413, 415, 422, 429, 503, 504)
        }
      }
    },
    async (request, reply) => {
      const form = formOf(request)
      const { top = 5, ...choice } = request.query
      const served = await options.served.resolve(request.params.name, choice)
      const holding = budget.open()
      try {
        const images = await readImages(request, { form, holding, arrivalMs })
        const verdicts = await classify({ images, top, served, signal: gone(reply) }, options)
        const predictions = verdicts.map((verdict) => describe(verdict, served.labels))
        const { model, version, variant } = served
        return { id: newId('pred'), model, version, variant, predictions }
      } catch (error) {
        // What has not arrived by now is not waited for.
        if (error instanceof ServiceError && error.code === 'REQUEST_TIMEOUT') {
          reply.header('connection', 'close')
        }
        throw error
      } finally {
        holding.release()
      }
    }
  )
}

interface Question {
  readonly images: readonly SentImage[]
  readonly top: number
  readonly served: ServedVariant
  readonly signal: AbortSignal
}

/** A verdict for every image, or the fault itself when there is but one image. */
async function classify(
  { images, top, served, signal }: Question,
  { engines, blobs }: PredictionRoutesOptions
): Promise<(Verdict | ServiceError)[]> {
  const readable = images.filter((image) => image instanceof Uint8Array)
  const verdicts =
    readable.length === 0
      ? []
      : await engines.classify(
          engineModel(served, blobs),
          readable.map((bytes) => ({ bytes, top })),
          signal
        )
  const inOrder = verdicts.values()
  const all = images.map((image) =>
    image instanceof ServiceError ? image : asFault(inOrder.next().value)
  )
  const [only] = all
  if (all.length === 1 && only instanceof ServiceError) throw only
  return all
}

function asFault(verdict: Verdict | undefined): Verdict | ServiceError {
  if (!verdict) throw new Error('Cannot answer: the engine gave too few verdicts')
  if (!('code' in verdict)) return verdict
  const code = verdict.code as ErrorCode
  const retry = code === 'ENGINE_CRASHED' ? { retryAfter: 1 } : {}
  return new ServiceError(code, { detail: verdict.detail, ...retry })
}

function engineModel({ sha256, network }: ServedVariant, blobs: Blobs): EngineModel {
  const { inputSize: size, channels, resize } = network
  const input = { size, channels, resize } as InputShape
  return { key: `${sha256}/${resize}`, path: blobs.path(sha256), input }
}

function describe(verdict: Verdict | ServiceError, labels: readonly string[]): Prediction {
  if (verdict instanceof ServiceError) return { error: problemOf(verdict) }
  if ('code' in verdict) throw new Error('Cannot answer: a fault was taken for a verdict')
  const top = verdict.classes.map((index, i) => ({
    label: labels[index] ?? String(index),
    score: verdict.scores[i] ?? 0
  }))
  const [best] = top
  if (!best) throw new Error('Cannot answer: the model has no classes')
  return { ...best, top }
}

/** Aborts when the client goes away before it is answered. */
function gone(reply: FastifyReply): AbortSignal {
  const leaving = new AbortController()
  reply.raw.once('close', () => {
    if (reply.raw.writableFinished) return
    const detail = 'Cannot answer: the client has gone'
    leaving.abort(new ServiceError('REQUEST_MALFORMED', { detail }))
  })
  return leaving.signal
}
