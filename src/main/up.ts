/**
 * `npm start`: a private Redis, the api and a worker in one command, kept alive and ended together.
 *
 * The order of ending matters: the worker first, because its checkpoints travel through the api, and
 * Redis last. Whatever kills this process, the roles end with their channel and Redis with its guard.
 */
import { randomBytes } from 'node:crypto'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type Config, ConfigError, readConfig } from '../config.ts'
import { DataDirTakenError, lockDataDir } from './data-lock.ts'
import { endingMs, exitCodes, onEnd } from './lifecycle.ts'
import { openLog } from './log.ts'
import { CannotStartError, type Launch, Part } from './part.ts'
import { launchRedis, socketOf } from './redis-child.ts'
import { launchRole } from './role.ts'

/** A socket's path may be 107 bytes long (unix(7)); macOS allows 103. */
const longestSocketFolder = 80

async function start(config: Config): Promise<void> {
  const log = openLog({ role: 'up', level: config.logLevel })
  const dataDir = resolve(config.dataDir)
  const release = lockDataDir(dataDir, 'npm start')
  const parts: Part[] = []
  let ending = false
  const stopAll = async (): Promise<void> => {
    ending = true
    for (const part of parts.toReversed()) await part.stop()
    release()
  }
  onEnd(log, stopAll, { withinMs: endingMs.all })
  const keep: Keep = async (name, launch, options) => {
    const onGivenUp = (error: Error) => void stopAll().then(() => fail(error))
    const part = new Part({ name, launch, log, onGivenUp, ...options })
    parts.push(part)
    await part.start()
  }
  try {
    const redisUrl = config.redisUrl ?? (await startRedis(dataDir, keep))
    const url = await startRoles({ config, dataDir, redisUrl, keep })
    banner({ url, dataDir, config })
  } catch (error) {
    // Asked to end during the start: what was starting has been given up, not failed.
    if (ending) return
    await stopAll()
    fail(error)
  }
}

type Keep = (
  name: string,
  launch: Launch,
  options?: { readonly firstTries?: number }
) => Promise<void>

async function startRedis(dataDir: string, keep: Keep): Promise<string> {
  const base = tmpdir().length > longestSocketFolder ? '/tmp' : tmpdir()
  const socketFolder = mkdtempSync(join(base, 'whittle-'))
  const folder = join(dataDir, 'redis')
  const options = { folder, socketFolder, path: process.env.PATH }
  await keep('redis', (signal) => launchRedis(options, signal))
  return socketOf(socketFolder)
}

interface Roles {
  readonly config: Config
  readonly dataDir: string
  readonly redisUrl: string
  readonly keep: Keep
}

/** Starts the api, then the worker that reports to it. Returns the api's address. */
async function startRoles({ config, dataDir, redisUrl, keep }: Roles): Promise<string> {
  const shared = {
    ...process.env,
    REDIS_URL: redisUrl,
    WHITTLE_DATA_DIR: dataDir,
    WHITTLE_CACHE_DIR: resolve(config.cacheDir),
    WHITTLE_WORKER_TOKEN: config.workerToken ?? randomBytes(32).toString('base64url')
  }
  let port = String(config.port)
  let url = ''
  const onReady = (message: Record<string, unknown>): void => {
    url = String(message.url)
    port = new URL(url).port || port
  }
  await keep('api', (signal) => {
    // Started again, the api must come back to the port that the worker and clients know.
    const env = { ...shared, WHITTLE_PORT: port }
    return launchRole(
      { role: 'api', env, ready: 'listening', graceMs: endingMs.api, onReady },
      signal
    )
  })
  const env = { ...shared, WHITTLE_API_URL: reachable(url) }
  const launch: Launch = (signal) =>
    launchRole({ role: 'worker', env, ready: 'ready', graceMs: endingMs.worker }, signal)
  // The api answers by now, and goes on doing so whatever keeps the worker from starting.
  await keep('worker', launch, { firstTries: Number.POSITIVE_INFINITY })
  return url
}

/** An api that listens everywhere is reached by its own worker on loopback. */
function reachable(url: string): string {
  const address = new URL(url)
  if (address.hostname === '0.0.0.0') address.hostname = '127.0.0.1'
  if (address.hostname === '[::]') address.hostname = '[::1]'
  return address.origin
}

interface Started {
  readonly url: string
  readonly dataDir: string
  readonly config: Config
}

function banner({ url, dataDir, config }: Started): void {
  const redis = config.redisUrl === null ? 'private' : 'given by REDIS_URL'
  const keys = config.apiKeys.length
  process.stdout.write(
    [
      '',
      `  whittle is up       ${url}`,
      `  data folder         ${dataDir}`,
      `  redis               ${redis}`,
      `  keys                ${keys === 0 ? 'none asked for (loopback only)' : `${keys} configured`}`,
      '  end it              Ctrl-C (training jobs go on at the next start)',
      '',
      ''
    ].join('\n')
  )
}

function fail(error: unknown): never {
  const isExpected =
    error instanceof ConfigError ||
    error instanceof DataDirTakenError ||
    error instanceof CannotStartError
  const text = error instanceof Error ? (isExpected ? error.message : error.stack) : error
  process.stderr.write(`${text}\n`)
  process.exit(isExpected ? exitCodes.cannotStart : exitCodes.failed)
}

try {
  await start(readConfig(process.env))
} catch (error) {
  fail(error)
}
