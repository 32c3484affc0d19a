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
import { type Logger, pino } from 'pino'
import { openBlobs } from '../blob/blobs.ts'
import { unreferencedImages } from '../catalog/dataset-removal.ts'
import { forgetOldKeys, releaseAbandonedKeys } from '../catalog/idempotency.ts'
import { unreferenced } from '../catalog/job-files.ts'
import { openCatalog } from '../catalog/open.ts'
import { ServedModels } from '../catalog/served-models.ts'
import { type Config, ConfigError, defaultRedisUrl, readConfig } from '../config.ts'
import { buildApp } from '../http/app.ts'
import { createDispatcher } from '../http/dispatcher.ts'
import { createImports } from '../http/imports.ts'
import { createPlanner } from '../http/job-planner.ts'
import { sweepBlobs } from '../http/sweep-blobs.ts'
import { keepUp } from '../http/upkeep.ts'
import { WorkerRegistry } from '../http/worker-registry.ts'
import { Engines } from '../infer/engines.ts'
import { measureLatency } from '../infer/measure.ts'
import { consumeImports } from '../queue/consumer.ts'
import { createProducer } from '../queue/producer.ts'
import { machine } from '../runtime/machine.ts'
import { DataDirTakenError, lockDataDir } from './data-lock.ts'
import { exitCodes, graceMs, onEnd } from './lifecycle.ts'
import { memoryLimit } from './machine-share.ts'
import { outageLog } from './outage-log.ts'
import { serviceVersion } from './version.ts'

const reconcileEveryMs = 15_000
const sweepEveryMs = 3_600_000
/** How long requests that are being answered may take before their connections are closed. */
const requestGraceMs = 10_000
const mostEngines = 4

async function start(config: Config): Promise<void> {
  const log = pino({ level: config.logLevel, base: { role: 'api' } })
  const dataDir = resolve(config.dataDir)
  const unlock = lockDataDir(join(dataDir, 'catalog'), 'an api')
  const stores = await openStores(dataDir)
  const { db, blobs, images } = stores
  const redis = {
    redisUrl: config.redisUrl ?? defaultRedisUrl,
    prefix: config.queuePrefix,
    onError: outageLog(log, 'redis')
  }
  const producer = createProducer(redis)
  const planner = createPlanner({ db, memoryLimit: memoryLimit(config) })
  const send = (id: string, n: number) => producer.dispatchJob(id, n)
  const dispatcher = createDispatcher({ db, blobs, planner, send, log: log as FastifyBaseLogger })
  const imports = createImports({
    db,
    images,
    dataDir,
    dispatch: (id, n) => producer.dispatchImport(id, n),
    log: log as FastifyBaseLogger,
    onSettled: () => void dispatcher.reconcile()
  })
  await imports.tidy()
  const engines = startEngines(config, log)
  const app = await buildApp(
    {
      ...stores,
      imports,
      planner,
      dispatcher,
      engines,
      measureLatency,
      workers: new WorkerRegistry(),
      served: new ServedModels(db, () => randomInt(2 ** 32) / 2 ** 32),
      redisReady: () => producer.status === 'ready',
      machine: machine()
    },
    { ...config, dataDir, version: serviceVersion(), logger: log as FastifyBaseLogger }
  )
  const consumer = consumeImports({ ...redis, run: imports.run })

  const reconcile = async () =>
    void (await Promise.all([dispatcher.reconcile(), imports.reconcile()]))
  const onError = (error: unknown) => log.error({ err: error }, 'upkeep failed')
  const stopUpkeep = keepUp(
    [
      { everyMs: reconcileEveryMs, run: reconcile },
      { everyMs: sweepEveryMs, run: () => Promise.all([sweep(stores), forgetOldKeys(db)]) }
    ],
    onError
  )
  producer.onReady(() => void reconcile().catch(onError))

  const close = async (): Promise<void> => {
    const insist = setTimeout(() => app.server.closeAllConnections(), requestGraceMs)
    await app.close()
    clearTimeout(insist)
    await stopUpkeep()
    await imports.close()
    await consumer.close()
    await producer.close()
    await engines.close()
    await db.destroy()
    unlock()
  }
  onEnd(log, close, { withinMs: graceMs.api })
  await reconcile()
  const listenTextResolver = (address: string) => `listening at ${address}`
  const url = await app.listen({ host: config.host, port: config.port, listenTextResolver })
  process.send?.({ type: 'listening', url })
}

/** Files and images have stores of their own, because different rows refer to them. */
async function sweep({ db, blobs, images }: Awaited<ReturnType<typeof openStores>>) {
  await sweepBlobs(db, blobs, unreferenced)
  await sweepBlobs(db, images, unreferencedImages)
}

async function openStores(dataDir: string) {
  const db = await openCatalog(join(dataDir, 'catalog', 'catalog.sqlite'))
  await releaseAbandonedKeys(db)
  const blobs = await openBlobs(join(dataDir, 'blobs'))
  const images = await openBlobs(join(dataDir, 'images'))
  return { db, blobs, images }
}

function startEngines({ engines, queueLimit }: Config, log: Logger): Engines {
  return new Engines({
    perModel: engines > 0 ? engines : Math.min(mostEngines, availableParallelism()),
    places: queueLimit,
    onCrash: (crash) => log.error(crash, 'inference process ended unasked')
  })
}

try {
  await start(readConfig(process.env))
} catch (error) {
  const reason = explain(error)
  process.stderr.write(`${reason ?? (error as Error).stack}\n`)
  process.exit(reason === undefined ? exitCodes.failed : exitCodes.cannotStart)
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
