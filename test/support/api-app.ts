/** The whole api, built over real files, with the queue and the inference processes stood in for. */
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { FastifyInstance } from 'fastify'
import { type Blobs, openBlobs } from '../../src/blob/blobs.ts'
import { type Catalog, openCatalog } from '../../src/catalog/open.ts'
import { ServedModels } from '../../src/catalog/served-models.ts'
import type { ConfiguredKey } from '../../src/contract/configured-key.ts'
import type { WebhookTargets } from '../../src/contract/delivery.ts'
import type { KeyLimits } from '../../src/contract/key.ts'
import { type AppDeps, type AppOptions, buildApp } from '../../src/http/app.ts'
import { Engines, type EnginesOptions } from '../../src/infer/engines.ts'
import { Deliverer } from '../../src/service/deliverer.ts'
import { createDispatcher, type Dispatcher } from '../../src/service/dispatcher.ts'
import { Drift } from '../../src/service/drift.ts'
import { createImports, type Imports } from '../../src/service/imports.ts'
import { createPlanner } from '../../src/service/job-planner.ts'
import { KeptImages } from '../../src/service/kept-images.ts'
import { KeyRing } from '../../src/service/key-ring.ts'
import { PredictionMemory } from '../../src/service/prediction-memory.ts'
import { createQuotas, type Quotas } from '../../src/service/quotas.ts'
import { Storage, type StorageOptions } from '../../src/service/storage.ts'
import { Sweeper } from '../../src/service/sweeper.ts'
import { WorkerRegistry } from '../../src/service/worker-registry.ts'
import { webhookKey } from '../../src/webhook/secret.ts'
import { temporaryFolder } from './catalog.ts'

export interface ApiApp {
  readonly app: FastifyInstance
  readonly db: Catalog
  readonly blobs: Blobs
  readonly images: Blobs
  readonly dispatcher: Dispatcher
  readonly imports: Imports
  readonly keys: KeyRing
  readonly quotas: Quotas
  readonly deliverer: Deliverer
  readonly storage: Storage
  readonly sweeper: Sweeper
  readonly dataDir: string
  /** Dispatches that the queue was given, as `<id>-<n>`; throws into the api while `away` is set. */
  readonly queue: { readonly sent: string[]; away: boolean }
}

export const workerToken = 'token-of-the-workers'
export const webhookSecret = `whsec_${Buffer.alloc(32, 'k').toString('base64')}`

interface Keys {
  /** Those of the settings. @default none */
  readonly apiKeys?: readonly ConfiguredKey[]
  /** Limits of each of them. @default none */
  readonly keyLimits?: KeyLimits
}

interface Surroundings {
  /** @default 'public' */
  readonly webhookTargets?: WebhookTargets
  /** @default a real disk, and no limit of our own */
  readonly disk?: Partial<StorageOptions>
  /** Bytes of predicted images that are kept. @default 0 */
  readonly keepImages?: number
}

export async function apiApp(
  t: TestContext,
  { apiKeys = [], keyLimits = {}, ...options }: Partial<AppOptions> & Keys = {},
  changes: Partial<AppDeps> = {},
  { webhookTargets = 'public', disk = {}, keepImages = 0 }: Surroundings = {}
): Promise<ApiApp> {
  const dataDir = await temporaryFolder(t)
  const db = await openCatalog(join(dataDir, 'catalog.sqlite'))
  const cacheDir = join(dataDir, 'worker')
  const onFull = () => sweeper.soon()
  const storage = new Storage({ dataDir, cacheDir, maxBytes: 0, onFull, ...disk })
  const onRemoved = () => storage.removed()
  const blobs = await openBlobs(join(dataDir, 'blobs'), { onRemoved })
  const images = await openBlobs(join(dataDir, 'images'), { onRemoved })
  const queue: { sent: string[]; away: boolean } = { sent: [], away: false }
  const send = async (id: string, n: number) => {
    if (queue.away) throw new Error('Redis is away')
    queue.sent.push(`${id}-${n}`)
  }
  const planner = createPlanner({ db, memoryLimit: 8 * 2 ** 30, webhookTargets, storage })
  const log = quiet()
  const onSwept = () => storage.measure()
  const sweeper = new Sweeper({ db, blobs, images, dataDir, log, onSwept })
  const deliverer = new Deliverer({
    db,
    key: webhookKey({ given: webhookSecret, file: join(dataDir, 'webhook-secret') }),
    targets: webhookTargets,
    log
  })
  const onEnded = () => deliverer.wake()
  const dispatcher = createDispatcher({ db, blobs, planner, send, log, onEnded })
  const keys = await KeyRing.open({ db, configured: apiKeys, defaults: keyLimits })
  const quotas = createQuotas({ db, limitsOf: (owner) => keys.limitsOf(owner) })
  const imports = createImports({ db, images, quotas, storage, dataDir, dispatch: send, log })
  const drift = new Drift({ db, window: 1000, log })
  const folder = join(dataDir, 'kept')
  const kept = await KeptImages.open({ folder, maxBytes: keepImages, storage, log })
  const memory = new PredictionMemory({ db, days: 7, images: 1000, kept })
  const onSeen: EnginesOptions['onSeen'] = (model, seen) => drift.observe(model, seen)
  const engines = new Engines({ perModel: 1, onSeen })
  const deps: AppDeps = {
    db,
    blobs,
    images,
    imports,
    keys,
    quotas,
    storage,
    sweeper,
    planner,
    dispatcher,
    deliverer,
    engines,
    drift,
    memory,
    workers: new WorkerRegistry(),
    served: new ServedModels(db, () => 0),
    measureLatency: async () => ({}),
    redisReady: () => !queue.away,
    machine: { cpu: 'test', features: [], onnxruntime: '0' },
    ...changes
  }
  const settings = { version: '0.0.0', maxUploadBytes: 2 ** 30, workerToken, dataDir }
  const app = await buildApp(deps, { ...settings, ...options })
  t.after(async () => {
    await app.close()
    await deliverer.close()
    await imports.close()
    await engines.close()
    await sweeper.idle()
    await db.destroy()
  })
  const stores = { db, blobs, images, storage, sweeper }
  return { app, ...stores, dispatcher, imports, keys, quotas, deliverer, dataDir, queue }
}

/** A logger that says nothing. */
export function quiet() {
  const nothing = () => {}
  const log = {
    fatal: nothing,
    error: nothing,
    warn: nothing,
    info: nothing,
    debug: nothing,
    trace: nothing,
    silent: nothing,
    level: 'silent',
    child: () => log
  }
  return log
}

/** A dataset of two classes with one version, and the bytes of its images. */
export async function readyDataset(
  { db, images }: Pick<ApiApp, 'db' | 'images'>,
  name = 'digits',
  status: 'ready' | 'importing' | 'failed' = 'ready'
): Promise<string> {
  const id = `ds_${name}`
  const ready = status === 'ready'
  const created_at = new Date().toISOString()
  const error = status === 'failed' ? { code: 'ARCHIVE_UNREADABLE', detail: 'not a zip' } : null
  await db
    .insertInto('datasets')
    .values({
      id,
      name,
      status,
      version: ready ? 1 : null,
      created_at,
      strict: 0,
      dispatch: 1,
      crashes: 0,
      report: null,
      error: error && JSON.stringify(error)
    })
    .execute()
  if (ready) await addVersion({ db, images }, id)
  return id
}

/** The version that an import would have committed. */
export async function addVersion(
  { db, images }: Pick<ApiApp, 'db' | 'images'>,
  id: string
): Promise<void> {
  const spread = { min: 28, median: 28, max: 28 }
  const classes = ['a', 'b'].map((label) => ({ label, train: 40, validation: 5, test: 5 }))
  const sides = { width: spread, height: spread }
  const facts = { hash: 'f00d', images: 100, bytes: 0, ...sides, grey: true, classes, health: [] }
  await db
    .insertInto('dataset_versions')
    .values({
      dataset_id: id,
      version: 1,
      created_at: new Date().toISOString(),
      hash: 'f00d',
      facts: JSON.stringify(facts)
    })
    .execute()
  for (const label of ['a', 'b']) {
    const { sha256, bytes } = await images.put(Buffer.from(`image of ${label} in ${id}`))
    const row = { sha256, bytes, label, split: 'train', width: 28, height: 28 } as const
    await db
      .insertInto('dataset_images')
      .values({
        ...row,
        id: `img_${label}`,
        dataset_id: id,
        format: 'png',
        grey: 1,
        from_version: 1,
        to_version: null
      })
      .execute()
  }
  await db
    .updateTable('datasets')
    .set({ status: 'ready', version: 1 })
    .where('id', '=', id)
    .execute()
}
