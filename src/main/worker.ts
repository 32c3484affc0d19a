/**
 * The worker role: takes dispatches from Redis and runs each in a trainer of its own.
 *
 * Needs Redis and the api's URL, nothing else. Ends within seconds of being asked: trainers write a
 * checkpoint, their jobs are released, and the next worker goes on from there.
 */
import { hostname } from 'node:os'
import { resolve } from 'node:path'
import { pino } from 'pino'
import { type Config, defaultRedisUrl, readConfig } from '../config.ts'
import type { EngineInfo } from '../contract/internal.ts'
import { consumeJobs } from '../queue/consumer.ts'
import { type ApiClient, createApiClient } from '../worker/api-client.ts'
import { probeEngine } from '../worker/probe-engine.ts'
import { clearScratch } from '../worker/scratch.ts'
import { createSupervisor, type Supervisor } from '../worker/supervisor.ts'
import { exitCodes, graceMs, onEnd } from './lifecycle.ts'
import { trainerThreads } from './machine-share.ts'
import { outageLog } from './outage-log.ts'

const announceEveryMs = 10_000

async function start(config: Config): Promise<void> {
  const log = pino({ level: config.logLevel, base: { role: 'worker' } })
  const worker = `${hostname()}-${process.pid}`
  const cacheDir = resolve(config.cacheDir)
  const threads = trainerThreads(config)
  await clearScratch(cacheDir)
  const engine = await probeEngine({ engine: config.engine, threads })
  log[engine.name === 'wasm' && config.engine === 'auto' ? 'warn' : 'info'](engine, 'engine')
  const api = createApiClient({ url: config.apiUrl, token: config.workerToken ?? '' })
  const supervisor = createSupervisor({
    api,
    log,
    worker,
    cacheDir,
    engine: config.engine,
    threads
  })
  const announcing = announce({ api, worker, engine, supervisor, config })
  const consumer = consumeJobs({
    redisUrl: config.redisUrl ?? defaultRedisUrl,
    prefix: config.queuePrefix,
    concurrency: config.workerConcurrency,
    run: supervisor.run,
    onError: outageLog(log, 'redis')
  })
  const close = async (): Promise<void> => {
    announcing.abort()
    await consumer.pause()
    await supervisor.shutdown()
    await consumer.close()
  }
  onEnd(log, close, { withinMs: graceMs.worker })
  log.info({ worker, api: config.apiUrl, threads, slots: config.workerConcurrency }, 'ready')
  process.send?.({ type: 'ready' })
}

interface Announcement {
  readonly api: ApiClient
  readonly worker: string
  readonly engine: EngineInfo
  readonly supervisor: Supervisor
  readonly config: Config
}

/** Tells the api every ten seconds that this worker lives. A missed call is followed by the next. */
function announce({ api, worker, engine, supervisor, config }: Announcement): AbortController {
  const end = new AbortController()
  const once = (): void => {
    const status = { engine, slots: config.workerConcurrency, busy: supervisor.busy }
    api.announce(worker, status, end.signal).catch(() => {})
  }
  const timer = setInterval(once, announceEveryMs)
  end.signal.addEventListener('abort', () => clearInterval(timer))
  once()
  return end
}

try {
  await start(readConfig(process.env, ['WHITTLE_WORKER_TOKEN']))
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`)
  process.exit(exitCodes.cannotStart)
}
