import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { appendFile, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { CannotStartError } from '../../../src/main/part.ts'
import { launchRedis, socketOf } from '../../../src/main/redis-child.ts'

async function options(t: TestContext) {
  const base = await mkdtemp(join(tmpdir(), 'whittle-'))
  t.after(() => rm(base, { recursive: true, force: true }))
  return { folder: join(base, 'redis'), socketFolder: join(base, 'run'), path: process.env.PATH }
}

const never = new AbortController().signal

async function withClient<T>(socketFolder: string, use: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(socketOf(socketFolder))
  try {
    return await use(redis)
  } finally {
    redis.disconnect()
  }
}

const pidIn = (folder: string): number => Number(readFileSync(join(folder, 'redis.pid'), 'utf8'))

async function isGone(pid: number, signal: NodeJS.Signals | 0 = 0): Promise<boolean> {
  for (let tries = 0; tries < 400; tries++) {
    try {
      process.kill(pid, signal)
    } catch {
      return true
    }
    await sleep(25)
  }
  return false
}

const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)

test('launchRedis() keeps what was written over an end and a start', async (t) => {
  const where = await options(t)
  const first = await launchRedis(where, never)
  await withClient(where.socketFolder, (redis) => redis.set('kept', 'yes'))
  await first.stop()
  assert.equal(existsSync(where.socketFolder), false)
  const second = await launchRedis(where, never)
  assert.equal(await withClient(where.socketFolder, (redis) => redis.get('kept')), 'yes')
  await second.stop()
})

test('launchRedis() never evicts and listens on no port', async (t) => {
  const where = await options(t)
  const redis = await launchRedis(where, never)
  t.after(() => redis.stop())
  const config = await withClient(where.socketFolder, (client) =>
    client.config('GET', 'maxmemory-policy', 'port')
  )
  assert.ok(JSON.stringify(config).includes('noeviction'))
  assert.match(JSON.stringify(config), /"port"[,:]"0"/)
})

test('launchRedis() says when there is no server program', async (t) => {
  const where = await options(t)
  await assert.rejects(launchRedis({ ...where, path: '/nonexistent' }, never), CannotStartError)
})

test('launchRedis() reports the end of a Redis that was killed', async (t) => {
  const where = await options(t)
  const redis = await launchRedis(where, never)
  process.kill(pidIn(where.folder), 'SIGKILL')
  assert.equal((await redis.ended).code, 137)
})

test('launchRedis() puts a damaged file aside and starts empty', async (t) => {
  const where = await options(t)
  const redis = await launchRedis(where, never)
  await withClient(where.socketFolder, (client) => client.set('lost', 'yes'))
  await redis.stop()
  const files = await readdir(join(where.folder, 'appendonlydir'))
  const log = files.find((file) => file.endsWith('.incr.aof'))
  await appendFile(join(where.folder, 'appendonlydir', log ?? ''), 'garbage\n*3\r\n')
  const again = await launchRedis(where, never)
  assert.equal(await withClient(where.socketFolder, (client) => client.get('lost')), null)
  await again.stop()
})

/** A process that starts Redis and does nothing else, so that it can be killed. */
async function parent(t: TestContext, where: { folder: string; socketFolder: string }) {
  const module = new URL('../../../src/main/redis-child.ts', import.meta.url)
  const script = `
    import { launchRedis } from '${module}'
    const [folder, socketFolder] = process.argv.slice(1)
    await launchRedis({ folder, socketFolder, path: process.env.PATH }, new AbortController().signal)
    console.log('up')
    setInterval(() => {}, 1000)`
  const args = ['--input-type=module', '-e', script, where.folder, where.socketFolder]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  const exit = once(child, 'exit').then(() => assert.fail('the parent ended before Redis was up'))
  await Promise.race([once(child.stdout, 'data'), exit])
  exit.catch(() => {})
  return child
}

/** The shell between a process and its Redis. */
const guardOf = (redisPid: number): number =>
  Number(/^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${redisPid}/status`, 'utf8'))?.[1])

test('launchRedis() ends Redis with its parent, however that ends', async (t) => {
  const where = await options(t)
  const child = await parent(t, where)
  const pid = pidIn(where.folder)
  const guard = guardOf(pid)
  child.kill('SIGKILL')
  assert.ok(await isGone(pid))
  assert.ok(await isGone(guard))
  assert.equal(existsSync(where.socketFolder), false)
})

test('launchRedis() ends a Redis that outlived its parent and its guard', async (t) => {
  const where = await options(t)
  const child = await parent(t, where)
  const pid = pidIn(where.folder)
  t.after(() => isGone(pid, 'SIGKILL'))
  // A watcher that is killed as well cannot end Redis any more.
  for (const other of [...childrenOf(guardOf(pid)), guardOf(pid)])
    if (other !== pid) process.kill(other, 'SIGKILL')
  child.kill('SIGKILL')
  await once(child, 'exit')
  process.kill(pid, 0)
  const redis = await launchRedis({ ...where, socketFolder: `${where.socketFolder}2` }, never)
  assert.ok(await isGone(pid))
  assert.notEqual(pidIn(where.folder), pid)
  await redis.stop()
})

test('launchRedis() leaves alone a Redis of another that has the number of its own', async (t) => {
  const [mine, theirs] = [await options(t), await options(t)]
  const other = await launchRedis(theirs, never)
  t.after(() => other.stop())
  await (await launchRedis(mine, never)).stop()
  await writeFile(join(mine.folder, 'redis.pid'), String(pidIn(theirs.folder)))
  const redis = await launchRedis(mine, never)
  t.after(() => redis.stop())
  assert.equal(await withClient(theirs.socketFolder, (client) => client.ping()), 'PONG')
})
