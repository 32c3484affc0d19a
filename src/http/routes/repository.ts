/** `/v2/repository`: which models there are, and loading and unloading them (extension `model_repository`). */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { listModels, readModel } from '../../catalog/models.ts'
import { ProtocolError, RepositoryIndex } from '../../contract/inference.ts'
import type { Model } from '../../contract/model.ts'
import { invalid } from '../../oip/invalid.ts'
import { ByteBudget } from '../byte-budget.ts'
import { engineModel } from '../engine-model.ts'
import { readAll, withinTime } from '../read-body.ts'
import type { InferenceRoutesOptions } from './inference.ts'

const NamedModel = Type.Object({ name: Type.String() })
const bodyLimit = 64 * 1024
const pageSize = 200
const arrivalMs = 10_000

export async function repositoryRoutes(
  instance: FastifyInstance,
  options: InferenceRoutesOptions
): Promise<void> {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()
  const { db, served, engines, blobs, models } = options
  const tags = ['inference']
  const refusals = { 400: ProtocolError, 404: ProtocolError, 503: ProtocolError }
  const budget = new ByteBudget(64 * bodyLimit)

  /** The members of a JSON body, which need not be there. */
  const membersOf = async (
    raw: Parameters<typeof readAll>[0]
  ): Promise<Record<string, unknown>> => {
    const holding = budget.open()
    try {
      const bytes = await withinTime(arrivalMs, readAll(raw, { limit: bodyLimit, holding }))
      if (bytes.length === 0) return {}
      const value: unknown = parse(bytes)
      if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value }
      throw invalid('the body must be an object')
    } finally {
      holding.release()
    }
  }

  app.post(
    '/index',
    {
      validatorCompiler: () => () => true,
      schema: {
        operationId: 'indexRepository',
        tags,
        summary: 'Every version of every model, and whether it is served',
        body: Type.Object({ ready: Type.Optional(Type.Boolean()) }),
        response: { 200: RepositoryIndex, ...refusals }
      }
    },
    async (request) => {
      const { ready = false } = await membersOf(request.raw)
      const rows = (await allModels(db)).flatMap(({ name, versions }) =>
        versions.map(({ version }) => ({
          name,
          version: String(version),
          state: models.isOn(name) ? ('READY' as const) : ('UNAVAILABLE' as const),
          reason: models.isOn(name) ? '' : 'unloaded'
        }))
      )
      return ready === true ? rows.filter(({ state }) => state === 'READY') : rows
    }
  )

  app.post(
    '/models/:name/load',
    {
      validatorCompiler: () => () => true,
      schema: {
        operationId: 'loadModel',
        tags,
        summary: 'Have an inference process hold the model that would answer now',
        params: NamedModel,
        response: { 200: Type.Object({}), ...refusals }
      }
    },
    async (request) => {
      const { name } = request.params
      const { parameters = {} } = await membersOf(request.raw)
      const given = Object.keys(parameters as object)
      if (given.length > 0) {
        throw invalid(
          `models are made by jobs, not by parameters, received ${given.join(', ').slice(0, 100)}`
        )
      }
      const variant = await served.resolve(name, {})
      await engines.load(engineModel(variant, blobs))
      models.turnOn(name)
      return {}
    }
  )

  app.post(
    '/models/:name/unload',
    {
      validatorCompiler: () => () => true,
      schema: {
        operationId: 'unloadModel',
        tags,
        summary: 'Answer what was asked of a model, then serve it no more and give back its memory',
        params: NamedModel,
        response: { 200: Type.Object({}), ...refusals }
      }
    },
    async (request) => {
      const { name } = request.params
      await membersOf(request.raw)
      await readModel(db, name)
      models.turnOff(name)
      await engines.unload(name)
      return {}
    }
  )
}

async function allModels(db: InferenceRoutesOptions['db']): Promise<Model[]> {
  const found: Model[] = []
  for (let before: number | null = null; ; ) {
    const page = await listModels(db, { limit: pageSize, before })
    found.push(...page.items)
    if (page.next === null) return found
    before = page.next
  }
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    throw invalid(`the body is not JSON, received ${bytes.length} bytes`)
  }
}
