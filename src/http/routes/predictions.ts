/** `POST /v1/models/{name}/predictions`: encoded images in, labels out. */
import multipart from '@fastify/multipart'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
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
import type { Seen } from '../../contract/sketch.ts'
import type { TraceContext } from '../../contract/trace.ts'
import { type ErrorCode, ServiceError } from '../../errors.ts'
import type { Verdict } from '../../infer/messages.ts'
import type { ImageOutcome, Metrics } from '../../service/metrics.ts'
import type { ModelSwitch } from '../../service/model-switch.ts'
import type { PredictionMemory } from '../../service/prediction-memory.ts'
import { type AskDeps, askEngines } from '../ask-engines.ts'
import { ByteBudget } from '../byte-budget.ts'
import { gone } from '../gone.ts'
import { problemOf } from '../plugins/problem.ts'
import { formOf, readImages, type SentImage } from '../prediction-images.ts'
import { problemResponses } from '../responses.ts'
import { validatorCompiler } from '../validation.ts'

export interface PredictionRoutesOptions extends AskDeps {
  readonly served: ServedModels
  readonly models: ModelSwitch
  readonly metrics: Pick<Metrics, 'imagesAsked'>
  readonly memory: Pick<PredictionMemory, 'isOn' | 'remember'>
  /** A request body must arrive within. @default 60 000 */
  readonly arrivalMs?: number
}

/** Bytes of bodies in memory at a time: four of the largest requests. */
const budgetBytes = 4 * predictionLimits.bytesPerRequest + 16 * 1024 * 1024

const encodedImage = { schema: Type.Unsafe<string>({ type: 'string', format: 'binary' }) }
export const predictionBody = {
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
        body: predictionBody,
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
      options.models.requireOn(served.model)
      const holding = budget.open()
      try {
        const images = await readImages(request, { form, holding, arrivalMs })
        const trace = request.span?.context
        const caller = request.caller?.id
        const question = { images, top, served, caller, trace, signal: gone(reply) }
        const { results, seen } = await classify(question, options)
        const predictions = results.map((result) => describe(result, served.labels))
        const { model, version, variant } = served
        return {
          id: options.memory.remember(served, seen, images),
          model,
          version,
          variant,
          predictions
        }
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
  readonly trace: TraceContext | undefined
  readonly caller: string | undefined
  readonly signal: AbortSignal
}

interface Answered {
  /** A verdict for every image, or its fault. */
  readonly results: (Verdict | ServiceError)[]
  /** Null for those that were refused. */
  readonly seen: (Seen | null)[]
}

/** @throws the fault itself when there is but one image */
async function classify(question: Question, options: PredictionRoutesOptions): Promise<Answered> {
  const { images, served, signal } = question
  const count = (results: readonly unknown[]): void => {
    for (const result of results) options.metrics.imagesAsked(served.model, outcomeOf(result))
  }
  const all = await ask(question, options).catch((error: unknown) => {
    if (!signal.aborted) count(images.map(() => error))
    throw error
  })
  count(all.results)
  const [only] = all.results
  if (images.length === 1 && only instanceof ServiceError) throw only
  return all
}

async function ask(
  { images, top, served, signal, caller, trace }: Question,
  deps: Pick<PredictionRoutesOptions, 'memory' | keyof AskDeps>
): Promise<Answered> {
  const readable = images.filter((image) => image instanceof Uint8Array)
  const questions = readable.map((bytes) => ({ bytes, top, digest: deps.memory.isOn }))
  const answer =
    readable.length === 0
      ? { verdicts: [], seen: [] }
      : await askEngines({ served, questions, options: { signal, caller }, trace }, deps)
  const [verdicts, looks] = [answer.verdicts.values(), answer.seen.values()]
  const results = images.map((image) =>
    image instanceof ServiceError ? image : asFault(verdicts.next().value)
  )
  const seen = images.map((image) =>
    image instanceof ServiceError ? null : (looks.next().value ?? null)
  )
  return { results, seen }
}

/** For the metrics: an image that we might have answered has not been refused. */
function outcomeOf(result: unknown): ImageOutcome {
  if (!(result instanceof Error)) return 'answered'
  const ours = !(result instanceof ServiceError) || result.status >= 500 || result.status === 429
  return ours ? 'failed' : 'refused'
}

function asFault(verdict: Verdict | undefined): Verdict | ServiceError {
  if (!verdict) throw new Error('Cannot answer: the engine gave too few verdicts')
  if (!('code' in verdict)) return verdict
  const code = verdict.code as ErrorCode
  const retry = code === 'ENGINE_CRASHED' ? { retryAfter: 1 } : {}
  return new ServiceError(code, { detail: verdict.detail, ...retry })
}

function describe(verdict: Verdict | ServiceError, labels: readonly string[]): Prediction {
  if (verdict instanceof ServiceError) return { error: problemOf(verdict) }
  if (!('classes' in verdict)) throw new Error('Cannot answer: a fault was taken for a verdict')
  const top = verdict.classes.map((index, i) => ({
    label: labels[index] ?? String(index),
    score: verdict.scores[i] ?? 0
  }))
  const [best] = top
  if (!best) throw new Error('Cannot answer: the model has no classes')
  return { ...best, top }
}
