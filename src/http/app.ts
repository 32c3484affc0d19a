/** The api's table of contents: every plugin and every route, in the order in which they apply. */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify'
import type { Blobs } from '../blob/blobs.ts'
import { datasetManifest } from '../catalog/datasets.ts'
import type { Catalog } from '../catalog/open.ts'
import type { ServedModels } from '../catalog/served-models.ts'
import type { Machine } from '../contract/report.ts'
import { errorCatalogue } from '../errors.ts'
import { Explainers } from '../explain/explainers.ts'
import { foreignLimits } from '../foreign/limits.ts'
import type { Engines } from '../infer/engines.ts'
import { Canaries } from '../service/canaries.ts'
import type { Deliverer } from '../service/deliverer.ts'
import type { Dispatcher } from '../service/dispatcher.ts'
import type { Drift } from '../service/drift.ts'
import type { Imports } from '../service/imports.ts'
import { JobFeed } from '../service/job-feed.ts'
import type { JobPlanner } from '../service/job-planner.ts'
import type { KeyRing } from '../service/key-ring.ts'
import { createMetrics } from '../service/metrics.ts'
import { createModelImports } from '../service/model-imports.ts'
import { ModelSwitch } from '../service/model-switch.ts'
import type { PredictionMemory } from '../service/prediction-memory.ts'
import type { Quotas } from '../service/quotas.ts'
import type { Storage } from '../service/storage.ts'
import type { Sweeper } from '../service/sweeper.ts'
import type { WorkerRegistry } from '../service/worker-registry.ts'
import { noTracing, type Tracing } from '../trace/tracing.ts'
import { audit } from './plugins/audit.ts'
import { auth } from './plugins/auth.ts'
import { bodies } from './plugins/bodies.ts'
import { idempotency } from './plugins/idempotency.ts'
import { impatient } from './plugins/impatient.ts'
import { localOnly } from './plugins/local-only.ts'
import { notFound } from './plugins/not-found.ts'
import { openapi } from './plugins/openapi.ts'
import { problems, refuseConnection, sendProblem } from './plugins/problem.ts'
import { requestSpans } from './plugins/request-spans.ts'
import { requestTimes } from './plugins/request-times.ts'
import { shutdown } from './plugins/shutdown.ts'
import { datasetRoutes } from './routes/datasets.ts'
import { deliveryRoutes } from './routes/deliveries.ts'
import { driftRoutes } from './routes/drift.ts'
import { engineRoutes } from './routes/engine.ts'
import { evaluationRoutes } from './routes/evaluations.ts'
import { explanationRoutes } from './routes/explanations.ts'
import { feedbackRoutes } from './routes/feedback.ts'
import { healthRoutes } from './routes/health.ts'
import { imageRoutes } from './routes/images.ts'
import { inferenceRoutes } from './routes/inference.ts'
import { internalRoutes } from './routes/internal.ts'
import type { MeasureLatency } from './routes/internal-files.ts'
import { jobEventRoutes } from './routes/job-events.ts'
import { jobRoutes } from './routes/jobs.ts'
import { keyRoutes } from './routes/keys.ts'
import { metricsRoutes } from './routes/metrics.ts'
import { modelImportRoutes } from './routes/model-imports.ts'
import { modelRoutes } from './routes/models.ts'
import { predictionRoutes } from './routes/predictions.ts'
import { storageRoutes } from './routes/storage.ts'
import { workerRoutes } from './routes/workers.ts'
import { validatorCompiler } from './validation.ts'
import { warmPublication } from './warm-publication.ts'

export interface AppDeps {
  readonly db: Catalog
  /** Artifacts and checkpoints. */
  readonly blobs: Blobs
  /** Images of datasets. */
  readonly images: Blobs
  readonly imports: Imports
  /** Empty of configured keys: no key is asked for, and requests must come from this machine. */
  readonly keys: KeyRing
  readonly quotas: Quotas
  readonly storage: Storage
  readonly sweeper: Pick<Sweeper, 'last'>
  readonly planner: JobPlanner
  readonly dispatcher: Dispatcher
  readonly deliverer: Pick<Deliverer, 'wake'>
  readonly workers: WorkerRegistry
  readonly served: ServedModels
  readonly engines: Engines
  readonly drift: Drift
  readonly memory: PredictionMemory
  readonly measureLatency: MeasureLatency
  /** Whether Redis takes dispatches. */
  readonly redisReady: () => boolean
  readonly machine: Machine
  /** @default nothing is traced */
  readonly tracing?: Tracing
}

export interface AppOptions {
  readonly version: string
  readonly dataDir: string
  readonly maxUploadBytes: number
  readonly workerToken: string | null
  readonly logger?: FastifyBaseLogger
}

export async function buildApp(deps: AppDeps, options: AppOptions): Promise<FastifyInstance> {
  const { db, dispatcher, engines, keys, redisReady, storage, tracing = noTracing } = deps
  const app = frame(options)
  const feed = new JobFeed({ db, log: app.log })
  const metrics = createMetrics({ ...deps, feed })
  const canaries = new Canaries({ db, log: app.log, onRolledBack: metrics.aliasRolledBack })
  app.addHook('onClose', () => canaries.close())
  const models = new ModelSwitch()
  const serving = { ...deps, metrics, models, canaries, tracing, version: options.version }

  problems(app)
  notFound(app)
  shutdown(app)
  requestSpans(app, tracing)
  requestTimes(app, metrics)
  impatient(app)
  if (!keys.isConfigured) localOnly(app)
  await auth(app, keys)
  bodies(app)
  idempotency(app, db)
  audit(app)
  app.addHook('onResponse', async (_request, reply) => {
    if (reply.statusCode === errorCatalogue.DISK_FULL.status) storage.wasFull()
  })
  await openapi(app, options.version)

  const datasets = { ...deps, ...options }
  app.register(datasetRoutes, { ...datasets, prefix: '/v1/datasets' })
  app.register(imageRoutes, { ...datasets, prefix: '/v1/datasets/:id/images' })
  app.register(jobRoutes, { ...deps, prefix: '/v1/jobs' })
  app.register(deliveryRoutes, { ...deps, prefix: '/v1/jobs/:id/deliveries' })
  app.register(jobEventRoutes, { ...deps, feed, prefix: '/v1/jobs' })
  app.register(modelRoutes, { ...deps, models, prefix: '/v1/models' })
  app.register(modelImportRoutes, {
    ...deps,
    modelImports: createModelImports({
      ...deps,
      maxBatch: () => engines.maxBatch,
      warmUp: (next) => warmPublication(next, { ...deps, models }, app.log),
      tidy: (contents) => dispatcher.tidy(contents)
    }),
    maxModelBytes: Math.min(foreignLimits.fileBytes, options.maxUploadBytes),
    prefix: '/v1/models'
  })
  app.register(evaluationRoutes, { ...deps, prefix: '/v1/models' })
  app.register(driftRoutes, { ...deps, prefix: '/v1/models' })
  app.register(feedbackRoutes, { ...deps, prefix: '/v1/models' })
  app.register(predictionRoutes, { ...serving, prefix: '/v1/models' })
  app.register(explanationRoutes, {
    ...serving,
    explainers: new Explainers(),
    prefix: '/v1/models'
  })
  app.register(inferenceRoutes, { ...serving, prefix: '/v2' })
  app.register(keyRoutes, { ...deps, prefix: '/v1/keys' })
  app.register(storageRoutes, { ...deps, prefix: '/v1/storage' })
  app.register(workerRoutes, { ...deps, prefix: '/v1/workers' })
  app.register(engineRoutes, { ...deps, prefix: '/v1/engine' })
  app.register(healthRoutes, {
    ...deps,
    redis: redisReady,
    engines: () => engines.status.ready,
    prefix: '/health'
  })
  app.register(metricsRoutes, { metrics })
  app.register(internalRoutes, {
    ...deps,
    metrics,
    models,
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
    logController: new LogController({
      disableRequestLogging: true,
      requestIdLogLabel: 'requestId'
    }),
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
