/**
 * The worker role: takes dispatches from Redis and runs each in a trainer of its own.
 *
 * Needs Redis and the api's URL, nothing else. Ends within seconds of being asked: trainers write a
 * checkpoint, their jobs are released, and the next worker goes on from there.
 */
import { hostname } from 'node:os'
import { resolve } from 'node:path'
import { type Config, ConfigError, defaultRedisUrl, readConfig } from '../config.ts'
import { consumeJobs } from '../queue/consumer.ts'
import { startAnnouncing } from '../worker/announcer.ts'
import { createApiClient } from '../worker/api-client.ts'
import { NoEngineError, probeEngine } from '../worker/probe-engine.ts'
import { clearScratch } from '../worker/scratch.ts'
import { createSupervisor } from '../worker/supervisor.ts'
import { endingMs, exitCodes, onEnd } from './lifecycle.ts'
import { openLog } from './log.ts'
import { cacheLimit, trainerThreads } from './machine-share.ts'
import { outageLog } from './outage-log.ts'
import { openTracing } from './tracing.ts'

async function start(config: Config): Promise<void> {
  const log = openLog({ role: 'worker', level: config.logLevel })
  const tracing = await openTracing('worker', log)
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
    tracing,
    worker,
    cacheDir,
    cacheBytes: cacheLimit(config),
    engine: config.engine,
    threads,
    trainerMs: endingMs.trainer,
    reportMs: endingMs.report
  })
  const consumer = consumeJobs({
    redisUrl: config.redisUrl ?? defaultRedisUrl,
    prefix: config.queuePrefix,
    concurrency: config.workerConcurrency,
    run: supervisor.run,
    onError: outageLog(log, 'redis')
  })
  const announcer = startAnnouncing({
    api,
    consumer,
    log,
    worker,
    engine,
    slots: config.workerConcurrency,
    busy: () => supervisor.busy
  })
  const close = async (): Promise<void> => {
    // At once: a checkpoint takes its time, and Redis may not answer.
    await Promise.all([announcer.retire(), supervisor.shutdown()])
    await announcer.close()
    await consumer.close()
    await tracing.close()
  }
  onEnd(log, close, { withinMs: endingMs.worker })
  log.info({ worker, api: config.apiUrl, threads, slots: config.workerConcurrency }, 'ready')
  // A parent that has gone meanwhile is noticed by the channel.
  process.send?.({ type: 'ready' }, () => {})
}

try {
  await start(readConfig(process.env, ['WHITTLE_WORKER_TOKEN']))
} catch (error) {
  const cannotStart = error instanceof ConfigError || error instanceof NoEngineError
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`)
  process.exit(cannotStart ? exitCodes.cannotStart : exitCodes.failed)
}
