import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type Process, processesOf } from '../support/processes.ts'
import { until } from '../support/until.ts'

const up = fileURLToPath(new URL('../../src/main/up.ts', import.meta.url))

interface Started {
  readonly child: ChildProcess
  readonly url: string
  readonly folder: string
  readonly output: () => string
  /** Every process of it, by name: the roles, Redis, its guard. */
  readonly processes: () => Process[]
}

async function newFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'whittle-up-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

const environment = (folder: string) => ({
  ...process.env,
  WHITTLE_PORT: '0',
  WHITTLE_DATA_DIR: join(folder, 'data'),
  WHITTLE_ENGINE: 'wasm',
  // Sockets are made here, so that what is left of them can be seen.
  TMPDIR: folder
})

/** @param how `terminal` starts it in a process group of its own, as a terminal does */
async function start(t: TestContext, folder: string, how?: 'terminal'): Promise<Started> {
  const child = spawn(process.execPath, [up], {
    // Otherwise it ends with the channel, should the test be killed.
    stdio: ['ignore', 'pipe', 'pipe', ...(how === 'terminal' ? [] : ['ipc' as const])],
    detached: how === 'terminal',
    env: environment(folder)
  })
  let output = ''
  const read = (text: Buffer): void => {
    output += text
  }
  child.stdout?.on('data', read)
  child.stderr?.on('data', read)
  const processes = (): Process[] => processesOf(child.pid ?? 0)
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGTERM')
    await once(child, 'exit')
  })
  const url = await seen(() => /whittle is up\s+(http:\S+)/.exec(output)?.[1], child)
  return { child, url, folder, output: () => output, processes }
}

/** Looks again and again until there is something to see, in a process that has not ended. */
async function seen<T>(look: () => T | undefined | false, child?: ChildProcess): Promise<T> {
  let found: T | undefined | false
  await until(() => {
    found = look()
    if (!found) assert.ok(!child || child.exitCode === null, `it ended: ${child?.exitCode}`)
    return Boolean(found)
  })
  return found as T
}

const find = (started: Started, part: string): Process | undefined =>
  started.processes().find(({ command }) => command.includes(part))

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

async function assertNothingLeft(known: readonly Process[], folder: string): Promise<void> {
  await until(() => !known.some(({ pid }) => isRunning(pid)))
  assert.deepEqual((await readdir(folder)).toSorted(), ['data'])
}

test('Ctrl-C ends the worker, then the api, then Redis, and leaves nothing running', async (t) => {
  const whittle = await start(t, await newFolder(t), 'terminal')
  const known = whittle.processes()
  for (const part of ['main/up.ts', 'main/api.ts', 'main/worker.ts', 'redis-server', '/bin/sh'])
    assert.ok(find(whittle, part), part)
  const ended = once(whittle.child, 'exit')
  process.kill(-(whittle.child.pid ?? 0), 'SIGINT')
  assert.deepEqual(await ended, [0, null])
  await assertNothingLeft(known, whittle.folder)
  const roles = [...whittle.output().matchAll(/"role":"(\w+)"[^}]*"msg":"ending"/g)]
  assert.deepEqual(
    roles.map(([, role]) => role),
    ['up', 'worker', 'api']
  )
})

test('a killed npm start takes everything with it, and the next start takes the folder over', async (t) => {
  const folder = await newFolder(t)
  const first = await start(t, folder)
  const known = first.processes()
  first.child.kill('SIGKILL')
  await assertNothingLeft(known, folder)
  const second = await start(t, folder)
  assert.equal((await fetch(`${second.url}/health/ready`)).status, 200)
})

test('a start right after npm start was killed waits for what is still ending', async (t) => {
  const folder = await newFolder(t)
  const first = await start(t, folder)
  const known = first.processes()
  first.child.kill('SIGKILL')
  const second = await start(t, folder)
  assert.equal((await fetch(`${second.url}/health/ready`)).status, 200)
  await until(() => !known.some(({ pid }) => isRunning(pid)))
})

test('npm start ends in order when the process that started it is gone', async (t) => {
  const whittle = await start(t, await newFolder(t))
  const known = whittle.processes()
  const ended = once(whittle.child, 'exit')
  whittle.child.disconnect()
  assert.deepEqual(await ended, [0, null])
  await assertNothingLeft(known, whittle.folder)
})

test('a second start on the same data is refused, naming the first', async (t) => {
  const first = await start(t, await newFolder(t))
  const second = spawn(process.execPath, [up], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: environment(first.folder)
  })
  let said = ''
  second.stderr.on('data', (text) => {
    said += text
  })
  const [code] = await once(second, 'close')
  assert.equal(code, 78)
  assert.match(said, new RegExp(`^Cannot use .*: npm start \\(process ${first.child.pid}, since `))
  assert.equal((await fetch(`${first.url}/health/ready`)).status, 200)
})

test('a part that was killed is started again, the api at the same address', async (t) => {
  const whittle = await start(t, await newFolder(t))
  for (const part of ['redis-server unixsocket', 'main/api.ts', 'main/worker.ts']) {
    const before = find(whittle, part)
    assert.ok(before, part)
    process.kill(before.pid, 'SIGKILL')
    const after = await seen(() => {
      const found = find(whittle, part)
      return found && found.pid !== before.pid && found
    })
    assert.notEqual(after.pid, before.pid)
  }
  const isReady = () => fetch(`${whittle.url}/health/ready`).then(({ ok }) => ok)
  await until(() => isReady().catch(() => false))
  const known = whittle.processes()
  whittle.child.kill('SIGTERM')
  await once(whittle.child, 'exit')
  await assertNothingLeft(known, whittle.folder)
})

test('a setting that is wrong, and a port that is taken, are named once and end everything', async (t) => {
  const folder = await newFolder(t)
  const first = await start(t, folder)
  const cases = [
    [{ WHITTLE_THREADS: 'two' }, /^Cannot start: WHITTLE_THREADS must be/],
    [{ WHITTLE_PORT: new URL(first.url).port }, /the port is in use/]
  ] as const
  for (const [settings, message] of cases) {
    const data = join(await newFolder(t), 'data')
    const env = { ...environment(folder), WHITTLE_DATA_DIR: data, ...settings }
    const child = spawn(process.execPath, [up], { stdio: ['ignore', 'ignore', 'pipe'], env })
    let said = ''
    child.stderr.on('data', (text) => {
      said += text
    })
    const [code] = await once(child, 'close')
    assert.equal(code, 78)
    assert.match(said, message)
    const pid = await readFile(join(data, 'redis', 'redis.pid'), 'utf8').catch(() => null)
    assert.equal(pid, null, 'Redis was left running')
  }
})
