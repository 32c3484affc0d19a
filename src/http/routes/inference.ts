/** `/v2`: the Open Inference Protocol with its extensions (github.com/kserve/open-inference-protocol). */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { readModel } from '../../catalog/models.ts'
import type { Catalog } from '../../catalog/open.ts'
import type { ServedModels, ServedVariant } from '../../catalog/served-models.ts'
import {
  extensions,
  InferRequest,
  InferResponse,
  ModelConfiguration,
  ModelMetadata,
  ModelReadiness,
  ProtocolError,
  ServerMetadata,
  StatisticsAnswer
} from '../../contract/inference.ts'
import {
  type DescribedModel,
  modelConfiguration,
  modelMetadata,
  modelStatistics
} from '../../oip/describe-model.ts'
import type { Metrics } from '../../service/metrics.ts'
import type { ModelSwitch } from '../../service/model-switch.ts'
import type { PredictionMemory } from '../../service/prediction-memory.ts'
import type { AskDeps } from '../ask-engines.ts'
import { ByteBudget } from '../byte-budget.ts'
import { tensors } from '../engine-model.ts'
import { gone } from '../gone.ts'
import { infer, inferLimit } from '../infer.ts'
import { namedModel } from '../named-model.ts'
import { sendEncoded } from '../send-encoded.ts'
import { validatorCompiler } from '../validation.ts'
import { repositoryRoutes } from './repository.ts'

export interface InferenceRoutesOptions extends AskDeps {
  readonly db: Catalog
  readonly served: ServedModels
  readonly models: ModelSwitch
  readonly metrics: Pick<Metrics, 'imagesAsked'>
  readonly memory: Pick<PredictionMemory, 'remember'>
  /** Of the service. */
  readonly version: string
  /** A request body must arrive within. @default 60 000 */
  readonly arrivalMs?: number
}

const WhoAsks = Type.Object({
  sticky: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 200,
      description: 'Always answered by the same target of an alias'
    })
  )
})

const NamedModel = Type.Object({
  name: Type.String({ description: 'A model, or `model@variant`' }),
  version: Type.Optional(Type.String())
})
const Alive = Type.Object({ live: Type.Boolean() })
const Ready = Type.Object({ live: Type.Boolean(), ready: Type.Boolean() })

/** Bytes of bodies in memory at a time. */
const budgetBytes = 4 * inferLimit

export async function inferenceRoutes(
  instance: FastifyInstance,
  options: InferenceRoutesOptions
): Promise<void> {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()
  const { db, engines, models } = options
  const tags = ['inference']
  const refusals = { 400: ProtocolError, 404: ProtocolError, 503: ProtocolError }
  const budget = new ByteBudget(budgetBytes)
  // Bodies are read by `infer.ts`, whatever type they say they are of.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _payload, done) => done(null))

  const describe = async (served: ServedVariant, name: string): Promise<DescribedModel> => {
    const { versions } = await readModel(db, served.model)
    const { inputSize: size, channels } = served.network
    return {
      name,
      versions: versions.map(({ version }) => version).sort((a, b) => a - b),
      input: { name: tensors.input, size, channels },
      output: { name: tensors.output, classes: served.labels.length }
    }
  }
  const resolve = (request: FastifyRequest) => namedModel(options.served, request)

  app.get(
    '/',
    {
      schema: {
        operationId: 'getServerMetadata',
        tags,
        summary: 'Name, version and protocol extensions of the server',
        response: { 200: ServerMetadata }
      }
    },
    async () => ({ name: 'whittle', version: options.version, extensions: [...extensions] })
  )

  app.get(
    '/health/live',
    {
      schema: {
        operationId: 'getServerLive',
        tags,
        summary: 'Whether the server answers',
        response: { 200: Alive }
      }
    },
    async () => ({ live: true })
  )

  app.get(
    '/health/ready',
    {
      schema: {
        operationId: 'getServerReady',
        tags,
        summary: 'Whether models can be asked',
        response: { 200: Ready, 503: Ready }
      }
    },
    async (_request, reply) => {
      const { ready } = engines.status
      return reply.code(ready ? 200 : 503).send({ live: true, ready })
    }
  )

  /** Each call about a model is there with and without a version. */
  const aboutModel = (add: (url: string, suffix: '' | 'Version') => void): void => {
    add('/models/:name', '')
    add('/models/:name/versions/:version', 'Version')
  }

  aboutModel((url, suffix) => {
    app.get(
      url,
      {
        schema: {
          operationId: `getModel${suffix}Metadata`,
          tags,
          summary: 'Versions and tensors of a model',
          params: NamedModel,
          response: { 200: ModelMetadata, ...refusals }
        }
      },
      async (request) => {
        const { served, name } = await resolve(request)
        return modelMetadata(await describe(served, name))
      }
    )

    app.get(
      `${url}/ready`,
      {
        schema: {
          operationId: `getModel${suffix}Ready`,
          tags,
          summary: 'Whether a model can be asked',
          params: NamedModel,
          response: { 200: ModelReadiness, ...refusals }
        }
      },
      async (request) => {
        const { served, name } = await resolve(request)
        models.requireOn(served.model)
        return { name, ready: true }
      }
    )

    app.get(
      `${url}/config`,
      {
        schema: {
          operationId: `getModel${suffix}Config`,
          tags,
          summary: "A model's configuration as Triton writes it",
          params: NamedModel,
          response: { 200: ModelConfiguration, ...refusals }
        }
      },
      async (request) => {
        const { served, name } = await resolve(request)
        const described = await describe(served, name)
        return modelConfiguration(described, engines.instances)
      }
    )

    app.get(
      `${url}/stats`,
      {
        schema: {
          operationId: `getModel${suffix}Statistics`,
          tags,
          summary: 'What a model was asked since the start, and what it took',
          params: NamedModel,
          response: { 200: StatisticsAnswer, ...refusals }
        }
      },
      async (request) => {
        const { served, name, version, variant } = await resolve(request)
        const counted = engines.statistics.filter(
          ({ model: { serves } }) =>
            serves.model === served.model &&
            (version === undefined || serves.version === version) &&
            (variant === undefined || serves.variant === variant)
        )
        const versions = version === undefined ? (await describe(served, name)).versions : [version]
        const rows = versions.map((one) =>
          modelStatistics(
            name,
            one,
            counted.filter(({ model: { serves } }) => serves.version === one)
          )
        )
        return { model_stats: rows }
      }
    )

    app.post(
      `${url}/infer`,
      {
        validatorCompiler: (route) =>
          route.httpPart === 'body' ? () => true : validatorCompiler(route),
        schema: {
          operationId: `infer${suffix}`,
          tags,
          summary: 'Ask a model about images, as tensors or encoded',
          params: NamedModel,
          querystring: WhoAsks,
          body: {
            content: {
              'application/json': { schema: InferRequest },
              'application/octet-stream': {
                schema: Type.Unsafe<string>({ type: 'string', format: 'binary' })
              }
            }
          },
          response: {
            200: InferResponse,
            ...refusals,
            408: ProtocolError,
            413: ProtocolError,
            429: ProtocolError,
            504: ProtocolError
          }
        }
      },
      async (request, reply) => {
        const { served, name } = await resolve(request)
        models.requireOn(served.model)
        const holding = budget.open()
        try {
          const answer = await infer(
            { request, served, name, holding, signal: gone(reply) },
            options
          )
          return await sendInference(request, reply, answer)
        } finally {
          holding.release()
        }
      }
    )
  })

  app.get(
    '/models/stats',
    {
      schema: {
        operationId: 'getStatistics',
        tags,
        summary: 'What every model was asked since the start, and what it took',
        response: { 200: StatisticsAnswer }
      }
    },
    async () => ({
      model_stats: engines.statistics.map((one) => {
        const { model, version, variant } = one.model.serves
        return modelStatistics(`${model}@${variant}`, version, [one])
      })
    })
  )

  await app.register(repositoryRoutes, { ...options, prefix: '/repository' })
}

async function sendInference(
  request: FastifyRequest,
  reply: FastifyReply,
  { body, jsonLength }: { readonly body: Buffer; readonly jsonLength: number | undefined }
) {
  if (jsonLength !== undefined) reply.header('inference-header-content-length', String(jsonLength))
  reply.type(jsonLength === undefined ? 'application/json' : 'application/octet-stream')
  return sendEncoded(request, reply, body)
}
