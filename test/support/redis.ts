/** A private Redis server for one test, on a Unix socket, ended when the test ends. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { Redis } from 'ioredis'

export interface RedisServer {
  /** What `REDIS_URL` would be. */
  readonly url: string
  /** Ends the server as a crash would; its data is gone. */
  kill(): Promise<void>
  start(): Promise<void>
}

/** Kills the server when its own standard input ends: when asked, or when the test is gone. */
const guard = '"$@" </dev/null & read -r _; kill -9 $!; wait $!'

/** Starts a server without persistence and waits until it answers. */
export async function startRedis(t: TestContext): Promise<RedisServer> {
  const folder = await mkdtemp(join(tmpdir(), 'whittle-redis-'))
  const url = join(folder, 's')
  let child: ChildProcess | undefined
  const start = async (): Promise<void> => {
    const command = ['redis-server', '--port', '0', '--unixsocket', url, '--save', '']
    child = spawn('/bin/sh', ['-c', guard, 'sh', ...command], {
      cwd: folder,
      stdio: ['pipe', 'ignore', 'ignore']
    })
    await answers(url)
  }
  const kill = async (): Promise<void> => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.stdin?.end()
    await ended
  }
  t.after(async () => {
    await kill()
    await rm(folder, { recursive: true, force: true })
  })
  await start()
  return { url, kill, start }
}

async function answers(url: string): Promise<void> {
  const redis = new Redis(url, { lazyConnect: false, retryStrategy: () => 20 })
  redis.on('error', () => {})
  await redis.ping()
  redis.disconnect()
}
