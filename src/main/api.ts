/**
 * The api role: answers requests, serves models, imports datasets, and hands jobs to the workers.
 *
 * The only writer of catalogue and blobs, so there is one per data folder. What was accepted is in the
 * catalogue before it is answered; the loops below see to it that it happens.
 */
import { randomInt } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { join, resolve } from 'node:path'
import type { FastifyBaseLogger } from 'fastify'
import type { Logger } from 'pino'
import { openBlobs } from '../blob/blobs.ts'
import { forgetOldKeys, releaseAbandonedKeys } from '../catalog/idempotency.ts'
import { openCatalog } from '../catalog/open.ts'
import { ServedModels } from '../catalog/served-models.ts'
import { type Config, ConfigError, defaultRedisUrl, readConfig } from '../config.ts'
import type { KeyLimits } from '../contract/key.ts'
import { asDiskError } from '../errors.ts'
import { buildApp } from '../http/app.ts'
import { Engines } from '../infer/engines.ts'
import { measureLatency } from '../infer/measure.ts'
import { consumeImports } from '../queue/consumer.ts'
import { createProducer } from '../queue/producer.ts'
import { countBuffersWithHeap } from '../runtime/heap.ts'
import { machine } from '../runtime/machine.ts'
import { Ballast } from '../service/ballast.ts'
import { Deliverer } from '../service/deliverer.ts'
import { createDispatcher } from '../service/dispatcher.ts'
import { Drift } from '../service/drift.ts'
import { createImports } from '../service/imports.ts'
import { createPlanner } from '../service/job-planner.ts'
import { KeptImages } from '../service/kept-images.ts'
import { KeyRing } from '../service/key-ring.ts'
import { PredictionMemory } from '../service/prediction-memory.ts'
import { createQuotas } from '../service/quotas.ts'
import { Storage } from '../service/storage.ts'
import { Sweeper } from '../service/sweeper.ts'
import { keepUp } from '../service/upkeep.ts'
import { WorkerRegistry } from '../service/worker-registry.ts'
import { webhookKey } from '../webhook/secret.ts'
import { DataDirTakenError, lockDataDir } from './data-lock.ts'
import { endingMs, exitCodes, onEnd } from './lifecycle.ts'
import { openLog } from './log.ts'
import { memoryLimit } from './machine-share.ts'
import { outageLog } from './outage-log.ts'
import { openTracing } from './tracing.ts'
import { serviceVersion } from './version.ts'

const reconcileEveryMs = 15_000
const recoverEveryMs = 5000
const storeEveryMs = 10_000
const rememberEveryMs = 1000
const forgetEveryMs = 60_000
const sweepEveryMs = 3_600_000
const mostEngines = 32

async function start(config: Config): Promise<void> {
  countBuffersWithHeap()
  const log = openLog({ role: 'api', level: config.logLevel })
  const tracing = await openTracing('api', log)
  const dataDir = resolve(config.dataDir)
  // `npm start` may have been killed and started again while its api is still ending.
  const waitMs = process.send === undefined ? 0 : 2 * endingMs.api
  const unlock = lockDataDir(join(dataDir, 'catalog'), 'an api', waitMs)
  const storage = new Storage({
    dataDir,
    cacheDir: resolve(config.cacheDir),
    maxBytes: config.maxDisk,
    onFull: () => {
      sweeper.soon()
      ballast.drop().catch(onError)
      kept?.makeRoom().catch(onError)
    }
  })
  let kept: KeptImages | undefined
  const ballast = new Ballast({ file: join(dataDir, 'catalog', 'ballast'), storage })
  await ballast.drop()
  const stores = await openStores(dataDir, storage)
  const { db, blobs, images } = stores
  const onError = (error: unknown) => log.error({ err: error }, 'upkeep failed')
  const onSwept = () => Promise.all([storage.measure(), ballast.load()])
  const sweeper = new Sweeper({ ...stores, dataDir, log, onSwept })
  const redis = {
    redisUrl: config.redisUrl ?? defaultRedisUrl,
    prefix: config.queuePrefix,
    onError: outageLog(log, 'redis')
  }
  const producer = createProducer(redis)
  const { webhookTargets } = config
  const planner = createPlanner({
    db,
    memoryLimit: memoryLimit(config),
    webhookTargets,
    storage
  })
  const deliverer = new Deliverer({
    db,
    key: webhookKey({ given: config.webhookSecret, file: join(dataDir, 'catalog/webhook-secret') }),
    targets: webhookTargets,
    log,
    tracing
  })
  const send = producer.dispatchJob
  const dispatcher = createDispatcher({
    db,
    blobs,
    planner,
    send,
    log,
    tracing,
    onEnded: () => deliverer.wake()
  })
  const keys = await KeyRing.open({
    db,
    configured: config.apiKeys,
    defaults: keyLimits(config)
  })
  const quotas = createQuotas({ db, limitsOf: (owner) => keys.limitsOf(owner) })
  const imports = createImports({
    db,
    images,
    quotas,
    storage,
    dataDir,
    dispatch: (id, n) => producer.dispatchImport(id, n),
    log,
    onSettled: () => void dispatcher.reconcile()
  })
  await imports.tidy()
  const drift = new Drift({ db, window: config.driftWindow, log })
  const folder = join(dataDir, 'kept')
  kept = await KeptImages.open({ folder, maxBytes: config.keepImages, storage, log })
  const memory = new PredictionMemory({
    db,
    days: config.rememberDays,
    images: config.rememberImages,
    kept
  })
  const engines = startEngines(config, { log, drift })
  const app = await buildApp(
    {
      ...stores,
      storage,
      sweeper,
      imports,
      keys,
      quotas,
      planner,
      dispatcher,
      deliverer,
      engines,
      drift,
      memory,
      measureLatency,
      workers: new WorkerRegistry(),
      served: new ServedModels(db, () => randomInt(2 ** 32) / 2 ** 32),
      redisReady: () => producer.status === 'ready',
      machine: machine(),
      tracing
    },
    { ...config, dataDir, version: serviceVersion(), logger: log as FastifyBaseLogger }
  )
  const consumer = consumeImports({ ...redis, run: imports.run })

  const reconcile = async () =>
    void (await Promise.all([dispatcher.reconcile(), imports.reconcile()]))
  const stopUpkeep = keepUp(
    [
      { everyMs: reconcileEveryMs, run: reconcile },
      { everyMs: recoverEveryMs, run: dispatcher.recover },
      { everyMs: storeEveryMs, run: () => drift.store() },
      { everyMs: rememberEveryMs, run: () => memory.store() },
      { everyMs: forgetEveryMs, run: () => memory.forget() },
      { everyMs: sweepEveryMs, run: () => Promise.all([sweeper.sweep(), forgetOldKeys(db)]) }
    ],
    onError
  )
  producer.onReady(() => void reconcile().catch(onError))

  const close = async (): Promise<void> => {
    const insist = setTimeout(() => app.server.closeAllConnections(), endingMs.requests)
    await app.close()
    clearTimeout(insist)
    await stopUpkeep()
    await sweeper.idle()
    await deliverer.close()
    await imports.close()
    await consumer.close()
    await producer.close()
    await Promise.all([engines.close(), tracing.close()])
    await drift.store().catch(onError)
    await memory.store().catch(onError)
    await db.destroy()
    unlock()
  }
  onEnd(log, close, { withinMs: endingMs.api })
  await reconcile()
  await ballast.load()
  const listenTextResolver = (address: string) => `listening at ${address}`
  const url = await app.listen({ host: config.host, port: config.port, listenTextResolver })
  // A parent that has gone meanwhile is noticed by the channel.
  process.send?.({ type: 'listening', url }, () => {})
}

async function openStores(dataDir: string, storage: Storage) {
  const db = await openCatalog(join(dataDir, 'catalog', 'catalog.sqlite'))
  await releaseAbandonedKeys(db)
  const onRemoved = () => storage.removed()
  const blobs = await openBlobs(join(dataDir, 'blobs'), { onRemoved })
  const images = await openBlobs(join(dataDir, 'images'), { onRemoved })
  return { db, blobs, images }
}

/** In the settings 0 stands for no limit. */
function keyLimits(config: Config): KeyLimits {
  return {
    requestsPerMinute: config.requestsPerMinute || null,
    bytesStored: config.keyBytes || null,
    jobsQueued: config.keyJobs || null,
    trainingSecondsPerDay: config.keyTrainingSeconds || null
  }
}

/** A process a core; where there are many, one core is left to HTTP. */
const enginesFor = (cores: number): number => Math.min(mostEngines, cores > 4 ? cores - 1 : cores)

function startEngines(
  config: Config,
  { log, drift }: { readonly log: Logger; readonly drift: Drift }
): Engines {
  const { engines, queueLimit, maxBatch, maxDelayMs, preferredBatchSizes } = config
  const cores = availableParallelism()
  const perModel = engines > 0 ? engines : enginesFor(cores)
  const chosenBy = engines > 0 ? 'WHITTLE_ENGINES' : `${cores} cores`
  log.info(
    {
      perModel,
      chosenBy,
      threads: 1,
      maxBatch,
      maxDelayMs,
      preferredBatchSizes,
      places: queueLimit
    },
    'inference processes of a model at most'
  )
  return new Engines({
    perModel,
    places: queueLimit,
    maxBatch,
    maxDelayMs,
    preferredSizes: preferredBatchSizes,
    onSeen: (model, seen) => drift.observe(model, seen),
    onCrash: (crash) => log.error(crash, 'inference process ended unasked'),
    onPoison: (poison) => log.error(poison, 'image refused from now on: it ended two processes')
  })
}

try {
  await start(readConfig(process.env))
} catch (thrown) {
  // Room may be made: another start can help.
  const error = asDiskError(thrown, 'start the api')
  if (error !== thrown) fail((error as Error).message, exitCodes.failed)
  const reason = explain(error)
  if (reason !== undefined) fail(reason, exitCodes.cannotStart)
  fail(String((error as Error).stack), exitCodes.failed)
}

function fail(text: string, code: number): never {
  process.stderr.write(`${text}\n`)
  process.exit(code)
}

/** What whoever starts it can put right, in a sentence; undefined for everything else. */
function explain(error: unknown): string | undefined {
  if (error instanceof ConfigError || error instanceof DataDirTakenError) return error.message
  const { code, address, port } = error as { code?: string; address?: string; port?: number }
  if (code === 'EADDRINUSE') {
    return `Cannot listen at ${address}:${port}: the port is in use; set WHITTLE_PORT to another one, or to 0 for a free one`
  }
  if (code === 'EACCES' && port !== undefined) {
    return `Cannot listen at ${address}:${port}: that port needs privileges; set WHITTLE_PORT to one above 1023`
  }
  if (code === 'EADDRNOTAVAIL') {
    return `Cannot listen at ${address}:${port}: this machine has no such address; set WHITTLE_HOST to one that it has`
  }
  return undefined
}
