import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { DataDirTakenError, lockDataDir } from '../../../src/main/data-lock.ts'

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'whittle-lock-'))
  t.after(() => rm(path, { recursive: true }))
  return path
}

/** Another process that takes the folder and keeps it until it is killed. */
async function holder(t: TestContext, dataDir: string) {
  const module = new URL('../../../src/main/data-lock.ts', import.meta.url)
  const script = `
    import { lockDataDir } from '${module}'
    lockDataDir(process.argv[1], 'the first')
    global.gc() // the lock must not depend on what its taker keeps
    await new Promise((resolve) => setTimeout(resolve, 10))
    console.log('locked')
    setInterval(() => {}, 1000)`
  const child = spawn(
    process.execPath,
    ['--expose-gc', '--input-type=module', '-e', script, dataDir],
    {
      stdio: ['ignore', 'pipe', 'inherit']
    }
  )
  t.after(() => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  return child
}

test('lockDataDir() refuses a folder that another process has, and names it', async (t) => {
  const dataDir = await folder(t)
  const other = await holder(t, dataDir)
  assert.throws(
    () => lockDataDir(dataDir, 'the second'),
    (error: Error) =>
      error instanceof DataDirTakenError &&
      error.message.includes('the first') &&
      error.message.includes(String(other.pid))
  )
})

test('lockDataDir() gets a folder whose holder was killed', async (t) => {
  const dataDir = await folder(t)
  const other = await holder(t, dataDir)
  other.kill('SIGKILL')
  await once(other, 'exit')
  lockDataDir(dataDir, 'the second')()
})

test('lockDataDir() gives the folder back, and only once', async (t) => {
  const dataDir = await folder(t)
  const release = lockDataDir(dataDir, 'one')
  release()
  release()
  lockDataDir(dataDir, 'two')()
})

test('lockDataDir() waits, if asked to, for one that is ending', async (t) => {
  const dataDir = await folder(t)
  const other = await holder(t, dataDir)
  assert.throws(() => lockDataDir(dataDir, 'the second', 50), DataDirTakenError)
  // From outside: this process stands still meanwhile.
  spawn('/bin/sh', ['-c', `sleep 0.2; kill -9 ${other.pid}`], { stdio: 'ignore' })
  lockDataDir(dataDir, 'the second', 60_000)()
})
