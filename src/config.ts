/**
 * Every environment variable that whittle reads: name, type, default and description, once.
 *
 * `readConfig` turns an environment into a frozen, camel-cased Config; `.env.example` and the
 * README's table are printed from the same schema (`scripts/settings.ts`). Only `main/` reads
 * `process.env` and hands it in.
 */
import { join } from 'node:path'
import { type Static, Type } from 'typebox'
import Value from 'typebox/value'
import { type ConfiguredKey, readKeys } from './contract/configured-key.ts'
import { webhookSecretPattern, webhookTargets } from './contract/delivery.ts'
import { readPreferredSizes } from './contract/preferred-sizes.ts'

const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
const engines = ['auto', 'tensorflow', 'wasm'] as const
/** Images that a batch may be set to take. */
const largestOfAll = 64
const count = (maximum: number, byDefault: number, description: string) =>
  Type.Integer({ minimum: 0, maximum, default: byDefault, description })

export const Settings = Type.Object({
  WHITTLE_HOST: Type.String({
    default: '127.0.0.1',
    description: 'Address to listen on; any but a loopback address needs `WHITTLE_API_KEYS`'
  }),
  WHITTLE_PORT: count(65_535, 8000, 'Port to listen on; 0 takes a free one'),
  WHITTLE_DATA_DIR: Type.String({
    default: './data',
    description: 'Folder of the catalogue, the blobs and the private Redis'
  }),
  WHITTLE_API_KEYS: Type.String({
    default: '',
    pattern: '^([^\\s,]+(\\s*,\\s*[^\\s,]+)*)?$',
    description:
      'Keys separated by commas; `predict:KEY` and `train:KEY` limit a key to that scope, any other may do everything. In place of KEY, `sha256:HEX` gives its SHA-256'
  }),
  WHITTLE_REQUESTS_PER_MINUTE: count(
    1_000_000,
    0,
    'Requests that each key of `WHITTLE_API_KEYS` may send in a minute; 0 for no limit'
  ),
  WHITTLE_KEY_BYTES: count(
    2 ** 50,
    0,
    'Bytes of images and model files that each of those keys may have stored; 0 for no limit'
  ),
  WHITTLE_KEY_JOBS: count(
    1_000_000,
    0,
    'Jobs that each of those keys may have waiting or running at a time; 0 for no limit'
  ),
  WHITTLE_KEY_TRAINING_SECONDS: count(
    2 ** 50,
    0,
    'Running time of jobs in seconds that each of those keys has in a UTC day; 0 for no limit'
  ),
  WHITTLE_API_URL: Type.String({
    default: 'http://127.0.0.1:8000',
    pattern: '^https?://[^\\s/]+',
    description: 'Where a worker reaches the api; `npm start` fills it in'
  }),
  WHITTLE_WORKER_TOKEN: Type.String({
    default: '',
    description: 'Secret shared by api and workers; `npm start` makes one up'
  }),
  REDIS_URL: Type.String({
    default: '',
    pattern: '^(rediss?://\\S+|/.+)?$',
    description:
      'Redis as a URL or a socket path. Empty: `npm start` runs a private one, the roles alone use `redis://127.0.0.1:6379`'
  }),
  WHITTLE_QUEUE_PREFIX: Type.String({
    default: 'whittle',
    pattern: '^[A-Za-z0-9_{}-]{1,64}$',
    description: 'First part of every key in Redis, for several whittles on one Redis'
  }),
  WHITTLE_ENGINE: Type.Enum(engines, {
    default: 'auto',
    description: 'What trains: `auto` takes tensorflow if it was set up, else wasm'
  }),
  WHITTLE_THREADS: count(256, 0, 'Threads of a trainer; 0 takes one per core'),
  WHITTLE_WORKER_CONCURRENCY: Type.Integer({
    minimum: 1,
    maximum: 64,
    default: 1,
    description: 'Jobs that a worker runs at a time'
  }),
  WHITTLE_CACHE_DIR: Type.String({
    default: '',
    description:
      'Folder for the datasets, packs and scratch files of a worker; empty takes `worker` in the data folder'
  }),
  WHITTLE_ENGINES: count(
    64,
    0,
    'Inference processes of a model; 0 takes one per core, of more than four cores all but one, at most 32'
  ),
  WHITTLE_MAX_BATCH: Type.Integer({
    default: 8,
    minimum: 1,
    maximum: largestOfAll,
    description: 'Images that one run of a model may take at most'
  }),
  WHITTLE_MAX_DELAY_MS: Type.Integer({
    default: 0,
    minimum: 0,
    maximum: 1000,
    description:
      'Milliseconds that an image may wait for others to fill a batch while a process is idle; more than 0 seldom pays on a CPU'
  }),
  WHITTLE_PREFERRED_BATCH_SIZES: Type.String({
    default: '',
    description:
      'Sizes, separated by commas, each from 1 to `WHITTLE_MAX_BATCH`: a batch that may fill goes as soon as it has one of them, any other is rounded down to one; empty for none'
  }),
  WHITTLE_QUEUE_LIMIT: Type.Integer({
    minimum: 1,
    maximum: 1_000_000,
    default: 128,
    description:
      'Images that may wait for one model, of one caller its share while others wait; beyond it 429'
  }),
  WHITTLE_DRIFT_WINDOW: Type.Integer({
    minimum: 400,
    maximum: 1_000_000,
    default: 1000,
    description:
      'Newest images of a model that are compared with its reference, at most; half as many at least'
  }),
  WHITTLE_REMEMBER_DAYS: count(
    366,
    7,
    'Days that predictions are remembered for, without their images, so that feedback can name them; 0 for none'
  ),
  WHITTLE_REMEMBER_IMAGES: count(
    100_000_000,
    500_000,
    'Images in predictions that are remembered, at most; beyond, the oldest are forgotten'
  ),
  WHITTLE_KEEP_IMAGES: count(
    2 ** 50,
    0,
    'Bytes of predicted images that are kept while their predictions are remembered, so that feedback can add them to a dataset; 0 keeps none'
  ),
  WHITTLE_MAX_UPLOAD_BYTES: count(
    2 ** 50,
    4 * 2 ** 30,
    'Largest archive that may be uploaded, in bytes'
  ),
  WHITTLE_MAX_DISK: count(
    2 ** 50,
    0,
    'Bytes that the data folder may take; 0 leaves it to the disk, of which a reserve is kept free in any case'
  ),
  WHITTLE_CACHE_BYTES: count(
    2 ** 50,
    20 * 2 ** 30,
    'Bytes that a worker keeps of datasets and packs that no running job uses; 0 for no limit'
  ),
  WHITTLE_MEMORY_LIMIT: count(
    2 ** 50,
    0,
    'Bytes of memory that a job may be estimated to need; 0 takes four fifths of the memory of the machine'
  ),
  WHITTLE_WEBHOOK_TARGETS: Type.Enum(webhookTargets, {
    default: 'public',
    description:
      'Where webhooks may lead: `public` is https and public addresses, `any` also http and private networks'
  }),
  WHITTLE_WEBHOOK_SECRET: Type.String({
    default: '',
    pattern: `^(${webhookSecretPattern})?$`,
    description:
      'Secret that webhooks are signed with: `whsec_` and 24 to 64 bytes in base64. Empty: one is made, and kept in the data folder as `catalog/webhook-secret`'
  }),
  WHITTLE_LOG_LEVEL: Type.Enum(logLevels, {
    default: 'info',
    description: 'Least level that is logged'
  })
})
export type Settings = Static<typeof Settings>
export type Setting = keyof Settings

/** Settings as the composition roots use them: converted, checked, frozen. */
export interface Config {
  readonly host: string
  readonly port: number
  readonly dataDir: string
  /** Empty: no key is asked for, and the host is a loopback address. */
  readonly apiKeys: readonly ConfiguredKey[]
  /** Limits of each of these keys; 0: none. */
  readonly requestsPerMinute: number
  readonly keyBytes: number
  readonly keyJobs: number
  readonly keyTrainingSeconds: number
  readonly apiUrl: string
  /** Null: no worker can be let in, and no worker can start. */
  readonly workerToken: string | null
  /** URL or socket path, or null when none was given. */
  readonly redisUrl: string | null
  readonly queuePrefix: string
  readonly engine: Settings['WHITTLE_ENGINE']
  /** 0: one per core. */
  readonly threads: number
  readonly workerConcurrency: number
  readonly cacheDir: string
  /** 0: one per core, at most four. */
  readonly engines: number
  readonly maxBatch: number
  readonly maxDelayMs: number
  /** Ascending. */
  readonly preferredBatchSizes: readonly number[]
  readonly queueLimit: number
  readonly driftWindow: number
  readonly rememberDays: number
  readonly rememberImages: number
  /** Bytes; 0 keeps none. */
  readonly keepImages: number
  readonly maxUploadBytes: number
  /** Bytes; 0: no limit of our own. */
  readonly maxDisk: number
  /** Bytes; 0: no limit. */
  readonly cacheBytes: number
  /** 0: four fifths of the machine's memory. */
  readonly memoryLimit: number
  readonly webhookTargets: Settings['WHITTLE_WEBHOOK_TARGETS']
  /** Null: the one in the data folder. */
  readonly webhookSecret: string | null
  readonly logLevel: Settings['WHITTLE_LOG_LEVEL']
}

/** Where the roles look for Redis when they are started alone and told nothing. */
export const defaultRedisUrl = 'redis://127.0.0.1:6379'

const secrets: readonly Setting[] = [
  'WHITTLE_API_KEYS',
  'WHITTLE_WORKER_TOKEN',
  'WHITTLE_WEBHOOK_SECRET',
  'REDIS_URL'
]

/** Thrown by readConfig; its message names every bad variable on a line of its own. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly faults: readonly string[]

  constructor(faults: readonly string[]) {
    super(`Cannot start: ${faults.join('\n              ')}`)
    this.faults = faults
  }
}

type Environment = Readonly<Record<string, string | undefined>>

/**
 * Reads the settings of an environment; a variable that is empty counts as not given.
 *
 * @param required variables without which the caller cannot work, although they have a default
 * @throws ConfigError naming every bad variable
 */
export function readConfig(env: Environment, required: readonly Setting[] = []): Config {
  const names = Object.keys(Settings.properties) as Setting[]
  const settings = Object.fromEntries(names.map((n) => [n, convert(n, env[n])])) as Settings
  const faults = [
    ...names.flatMap((name) => typeFault(name, settings[name])),
    ...required.filter((name) => settings[name] === '').map((name) => `${name} must be set`)
  ]
  const { keys, faults: keyFaults } = readKeys(String(settings.WHITTLE_API_KEYS))
  faults.push(...keyFaults.map((fault) => `WHITTLE_API_KEYS ${fault}`))
  const preferred = readPreferredSizes(
    String(settings.WHITTLE_PREFERRED_BATCH_SIZES),
    largestBatch(settings)
  )
  faults.push(...preferred.faults.map((fault) => `WHITTLE_PREFERRED_BATCH_SIZES ${fault}`))
  if (!isLoopback(settings.WHITTLE_HOST) && keys.length === 0) {
    faults.push(
      `WHITTLE_HOST must be a loopback address unless WHITTLE_API_KEYS is set, received "${settings.WHITTLE_HOST}"`
    )
  }
  if (faults.length > 0) throw new ConfigError(faults)
  return toConfig(settings, { apiKeys: keys, preferredBatchSizes: preferred.sizes })
}

/** As it is set; where that is itself a fault, as it may be at most, so that no second fault follows. */
function largestBatch({ WHITTLE_MAX_BATCH: set }: Settings): number {
  return Value.Check(Settings.properties.WHITTLE_MAX_BATCH, set) ? set : largestOfAll
}

/** Whether an address is one that only this machine can reach. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}

function convert(name: Setting, text: string | undefined): unknown {
  const schema = describe(name)
  const given = text?.trim() ?? ''
  if (given === '') return schema.default
  return schema.type === 'integer' && /^-?\d{1,15}$/.test(given) ? Number(given) : given
}

/** The part of a variable's schema that is the same for every type. */
function describe(name: Setting): { readonly type?: string; readonly default: unknown } {
  return Settings.properties[name] as object as { type?: string; default: unknown }
}

function typeFault(name: Setting, value: unknown): string[] {
  const schema = Settings.properties[name]
  if (Value.Check(schema, value)) return []
  const received = secrets.includes(name) ? '' : `, received "${value}"`
  return [`${name} must be ${expectation(schema)}${received}`]
}

/** What a schema asks for, in words. */
export function expectation(schema: object): string {
  const { enum: choices, type, minimum, maximum, pattern } = schema as Record<string, unknown>
  if (Array.isArray(choices)) return `one of ${choices.join(', ')}`
  if (type === 'integer') return `an integer from ${minimum} to ${maximum}`
  return pattern === undefined ? 'a text' : `a text that matches ${pattern}`
}

function toConfig(
  settings: Settings,
  { apiKeys, preferredBatchSizes }: Pick<Config, 'apiKeys' | 'preferredBatchSizes'>
): Config {
  return Object.freeze({
    host: settings.WHITTLE_HOST,
    port: settings.WHITTLE_PORT,
    dataDir: settings.WHITTLE_DATA_DIR,
    apiKeys: Object.freeze(apiKeys.map((key) => Object.freeze(key))),
    requestsPerMinute: settings.WHITTLE_REQUESTS_PER_MINUTE,
    keyBytes: settings.WHITTLE_KEY_BYTES,
    keyJobs: settings.WHITTLE_KEY_JOBS,
    keyTrainingSeconds: settings.WHITTLE_KEY_TRAINING_SECONDS,
    apiUrl: settings.WHITTLE_API_URL.replace(/\/+$/, ''),
    workerToken: settings.WHITTLE_WORKER_TOKEN || null,
    redisUrl: settings.REDIS_URL || null,
    queuePrefix: settings.WHITTLE_QUEUE_PREFIX,
    engine: settings.WHITTLE_ENGINE,
    threads: settings.WHITTLE_THREADS,
    workerConcurrency: settings.WHITTLE_WORKER_CONCURRENCY,
    cacheDir: settings.WHITTLE_CACHE_DIR || join(settings.WHITTLE_DATA_DIR, 'worker'),
    engines: settings.WHITTLE_ENGINES,
    maxBatch: settings.WHITTLE_MAX_BATCH,
    maxDelayMs: settings.WHITTLE_MAX_DELAY_MS,
    preferredBatchSizes: Object.freeze(preferredBatchSizes),
    queueLimit: settings.WHITTLE_QUEUE_LIMIT,
    driftWindow: settings.WHITTLE_DRIFT_WINDOW,
    rememberDays: settings.WHITTLE_REMEMBER_DAYS,
    rememberImages: settings.WHITTLE_REMEMBER_IMAGES,
    keepImages: settings.WHITTLE_KEEP_IMAGES,
    maxUploadBytes: settings.WHITTLE_MAX_UPLOAD_BYTES,
    maxDisk: settings.WHITTLE_MAX_DISK,
    cacheBytes: settings.WHITTLE_CACHE_BYTES,
    memoryLimit: settings.WHITTLE_MEMORY_LIMIT,
    webhookTargets: settings.WHITTLE_WEBHOOK_TARGETS,
    webhookSecret: settings.WHITTLE_WEBHOOK_SECRET || null,
    logLevel: settings.WHITTLE_LOG_LEVEL
  })
}
