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

const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
const engines = ['auto', 'tensorflow', 'wasm'] as const
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
      'Keys separated by commas; `predict:KEY` and `train:KEY` limit a key to that scope, any other may do everything'
  }),
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
    'Inference processes of a model; 0 takes one per core, at most four'
  ),
  WHITTLE_QUEUE_LIMIT: Type.Integer({
    minimum: 1,
    maximum: 1_000_000,
    default: 128,
    description:
      'Images that may wait for one model; the request that would exceed it is answered 429'
  }),
  WHITTLE_MAX_UPLOAD_BYTES: count(
    2 ** 50,
    4 * 2 ** 30,
    'Largest archive that may be uploaded, in bytes'
  ),
  WHITTLE_MEMORY_LIMIT: count(
    2 ** 50,
    0,
    'Bytes of memory that a job may be estimated to need; 0 takes four fifths of the memory of the machine'
  ),
  WHITTLE_LOG_LEVEL: Type.Enum(logLevels, {
    default: 'info',
    description: 'Least level that is logged'
  })
})
export type Settings = Static<typeof Settings>
export type Setting = keyof Settings

export const keyScopes = ['predict', 'train', 'admin'] as const
export type KeyScope = (typeof keyScopes)[number]
export interface ApiKey {
  readonly key: string
  readonly scope: KeyScope
}

/** Settings as the composition roots use them: converted, checked, frozen. */
export interface Config {
  readonly host: string
  readonly port: number
  readonly dataDir: string
  /** Empty: no key is asked for, and the host is a loopback address. */
  readonly apiKeys: readonly ApiKey[]
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
  readonly queueLimit: number
  readonly maxUploadBytes: number
  /** 0: four fifths of the machine's memory. */
  readonly memoryLimit: number
  readonly logLevel: Settings['WHITTLE_LOG_LEVEL']
}

/** Where the roles look for Redis when they are started alone and told nothing. */
export const defaultRedisUrl = 'redis://127.0.0.1:6379'

const secrets: readonly Setting[] = ['WHITTLE_API_KEYS', 'WHITTLE_WORKER_TOKEN', 'REDIS_URL']

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
  const apiKeys = parseKeys(settings.WHITTLE_API_KEYS)
  if (!isLoopback(settings.WHITTLE_HOST) && apiKeys.length === 0) {
    faults.push(
      `WHITTLE_HOST must be a loopback address unless WHITTLE_API_KEYS is set, received "${settings.WHITTLE_HOST}"`
    )
  }
  if (faults.length > 0) throw new ConfigError(faults)
  return toConfig(settings, apiKeys)
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

function parseKeys(text: string): readonly ApiKey[] {
  return String(text)
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => {
      const [scope = '', ...rest] = part.split(':')
      const limited = keyScopes.find((s) => s === scope)
      return limited && rest.join(':') !== ''
        ? { key: rest.join(':'), scope: limited }
        : { key: part, scope: 'admin' }
    })
}

function toConfig(settings: Settings, apiKeys: readonly ApiKey[]): Config {
  return Object.freeze({
    host: settings.WHITTLE_HOST,
    port: settings.WHITTLE_PORT,
    dataDir: settings.WHITTLE_DATA_DIR,
    apiKeys: Object.freeze(apiKeys.map((key) => Object.freeze(key))),
    apiUrl: settings.WHITTLE_API_URL.replace(/\/+$/, ''),
    workerToken: settings.WHITTLE_WORKER_TOKEN || null,
    redisUrl: settings.REDIS_URL || null,
    queuePrefix: settings.WHITTLE_QUEUE_PREFIX,
    engine: settings.WHITTLE_ENGINE,
    threads: settings.WHITTLE_THREADS,
    workerConcurrency: settings.WHITTLE_WORKER_CONCURRENCY,
    cacheDir: settings.WHITTLE_CACHE_DIR || join(settings.WHITTLE_DATA_DIR, 'worker'),
    engines: settings.WHITTLE_ENGINES,
    queueLimit: settings.WHITTLE_QUEUE_LIMIT,
    maxUploadBytes: settings.WHITTLE_MAX_UPLOAD_BYTES,
    memoryLimit: settings.WHITTLE_MEMORY_LIMIT,
    logLevel: settings.WHITTLE_LOG_LEVEL
  })
}
