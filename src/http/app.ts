/** The api's table of contents: every plugin and every route, in the order in which they apply. */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify'
import type { Blobs } from '../blob/blobs.ts'
import { datasetManifest } from '../catalog/datasets.ts'
import type { Catalog } from '../catalog/open.ts'
import type { ServedModels } from '../catalog/served-models.ts'
import type { ApiKey } from '../config.ts'
import type { Machine } from '../contract/report.ts'
import type { Engines } from '../infer/engines.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { Imports } from './imports.ts'
import type { JobPlanner } from './job-planner.ts'
import { auth } from './plugins/auth.ts'
import { bodies } from './plugins/bodies.ts'
import { idempotency } from './plugins/idempotency.ts'
import { localOnly } from './plugins/local-only.ts'
import { notFound } from './plugins/not-found.ts'
import { openapi } from './plugins/openapi.ts'
import { problems, refuseConnection, sendProblem } from './plugins/problem.ts'
import { shutdown } from './plugins/shutdown.ts'
import { datasetRoutes } from './routes/datasets.ts'
import { engineRoutes } from './routes/engine.ts'
import { healthRoutes } from './routes/health.ts'
import { imageRoutes } from './routes/images.ts'
import { internalRoutes } from './routes/internal.ts'
import type { MeasureLatency } from './routes/internal-files.ts'
import { jobRoutes } from './routes/jobs.ts'
import { modelRoutes } from './routes/models.ts'
import { predictionRoutes } from './routes/predictions.ts'
import { validatorCompiler } from './validation.ts'
import type { WorkerRegistry } from './worker-registry.ts'

export interface AppDeps {
  readonly db: Catalog
  /** Artifacts and checkpoints. */
  readonly blobs: Blobs
  /** Images of datasets. */
  readonly images: Blobs
  readonly imports: Imports
  readonly planner: JobPlanner
  readonly dispatcher: Dispatcher
  readonly workers: WorkerRegistry
  readonly served: ServedModels
  readonly engines: Engines
  readonly measureLatency: MeasureLatency
  /** Whether Redis takes dispatches. */
  readonly redisReady: () => boolean
  readonly machine: Machine
}

export interface AppOptions {
  readonly version: string
  readonly dataDir: string
  readonly maxUploadBytes: number
  /** Empty: no key is asked for, and requests must come from this machine. */
  readonly apiKeys: readonly ApiKey[]
  readonly workerToken: string | null
  readonly logger?: FastifyBaseLogger
}

export async function buildApp(deps: AppDeps, options: AppOptions): Promise<FastifyInstance> {
  const { db, engines, redisReady } = deps
  const { apiKeys } = options
  const app = frame(options)

  problems(app)
  notFound(app)
  shutdown(app)
  if (apiKeys.length === 0) localOnly(app)
  auth(app, apiKeys)
  bodies(app)
  idempotency(app, db)
  await openapi(app, options.version)

  const datasets = { ...deps, ...options }
  app.register(datasetRoutes, { ...datasets, prefix: '/v1/datasets' })
  app.register(imageRoutes, { ...datasets, prefix: '/v1/datasets/:id/images' })
  app.register(jobRoutes, { ...deps, prefix: '/v1/jobs' })
  app.register(modelRoutes, { ...deps, prefix: '/v1/models' })
  app.register(predictionRoutes, { ...deps, prefix: '/v1/models' })
  app.register(engineRoutes, { ...deps, prefix: '/v1/engine' })
  app.register(healthRoutes, {
    ...deps,
    redis: redisReady,
    engines: () => engines.status.ready,
    prefix: '/health'
  })
  app.register(internalRoutes, {
    ...deps,
    workerToken: options.workerToken,
    datasetManifest: (id, version) => datasetManifest(db, id, version),
    prefix: '/internal/v1'
  })
  await app.ready()
  return app
}

/** Bytes of a JSON body; routes that take files state their own. */
const bodyLimit = 1024 * 1024

function frame({ logger }: AppOptions): FastifyInstance {
  const app: FastifyInstance = Fastify({
    ...(logger === undefined ? {} : { loggerInstance: logger }),
    bodyLimit,
    // Two lines a request would drown what matters; refusals and failures are logged in problem.ts.
    logController: new LogController({ disableRequestLogging: true }),
    // An upload of gigabytes takes its time, but a connection on which nothing moves is closed.
    requestTimeout: 3_600_000,
    connectionTimeout: 120_000,
    keepAliveTimeout: 65_000,
    genReqId: requestId,
    routerOptions: { maxParamLength: 300, ignoreTrailingSlash: true },
    return503OnClosing: false,
    frameworkErrors: sendProblem,
    clientErrorHandler: refuseConnection
  })
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(() => (payload) => JSON.stringify(payload))
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id)
  })
  return app
}

/** The caller's own id when it is harmless in a log, else a new one. */
function requestId(request: IncomingMessage): string {
  const given = request.headers['x-request-id']
  return typeof given === 'string' && /^[\w.-]{1,64}$/.test(given) ? given : randomUUID()
}
