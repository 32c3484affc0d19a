/** The cache of a worker: what goes, what stays, and what other processes have to say about it. */
import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { evict, making, touch, useEntry } from '../../../src/worker/cache-eviction.ts'
import { clearScratch, openScratch } from '../../../src/worker/scratch.ts'
import { temporaryFolder } from '../../support/catalog.ts'

const packBytes = 1000

/** Three packs and a dataset; `a` was used longest ago, the dataset last. */
async function cache(t: TestContext) {
  const cacheDir = await temporaryFolder(t)
  const path = (name: string) => join(cacheDir, name)
  await mkdir(path('packs'))
  await mkdir(path('datasets/d'), { recursive: true })
  for (const name of ['a', 'b', 'c'])
    await writeFile(path(`packs/${name}.pack`), Buffer.alloc(packBytes))
  await writeFile(path('datasets/d/images.tar'), Buffer.alloc(packBytes))
  const order = ['packs/a.pack', 'packs/b.pack', 'packs/c.pack', 'datasets/d']
  for (const [i, name] of order.entries()) await utimes(path(name), 1000 + i, 1000 + i)
  const entries = async () =>
    (await Promise.all(['packs', 'datasets'].map((folder) => readdir(path(folder)))))
      .flat()
      .filter((name) => !name.endsWith('.lock'))
      .sort()
  return { cacheDir, path, entries }
}

test('evict() removes what was used longest ago, and no more than it must', async (t) => {
  const { cacheDir, path, entries } = await cache(t)
  assert.deepEqual(await evict(cacheDir, Number.POSITIVE_INFINITY), { removed: 0, bytes: 0 })
  await touch(path('packs/a.pack'))
  assert.deepEqual(await evict(cacheDir, 4 * packBytes), { removed: 0, bytes: 0 })
  assert.deepEqual(await evict(cacheDir, 2 * packBytes + 1), { removed: 2, bytes: 2 * packBytes })
  assert.deepEqual(await entries(), ['a.pack', 'd'])
})

test('evict() spares what a process uses until that process is gone, by SIGKILL too', async (t) => {
  const { cacheDir, path, entries } = await cache(t)
  const own = useEntry(path('packs/b.pack'))
  const user = fork(new URL('../../support/cache-user.ts', import.meta.url), [path('packs/a.pack')])
  t.after(() => user.kill('SIGKILL'))
  await once(user, 'message')
  await evict(cacheDir, 0)
  assert.deepEqual(await entries(), ['a.pack', 'b.pack'])
  const ended = once(user, 'exit')
  user.kill('SIGKILL')
  await ended
  own.end()
  await evict(cacheDir, 0)
  assert.deepEqual(await entries(), [])
})

test('evict() removes what is unfinished only while nobody is at it', async (t) => {
  const { cacheDir, path, entries } = await cache(t)
  await making(path('packs'), async () => {
    await writeFile(path('packs/partial-1'), 'x')
    await evict(cacheDir, Number.POSITIVE_INFINITY)
    assert.ok((await entries()).includes('partial-1'))
  })
  await evict(cacheDir, Number.POSITIVE_INFINITY)
  assert.ok(!(await entries()).includes('partial-1'))
})

test('clearScratch() leaves the scratch folders of attempts that run', async (t) => {
  const cacheDir = await temporaryFolder(t)
  const running = await openScratch(cacheDir, 'job_1')
  await mkdir(join(cacheDir, 'scratch', 'job_0-left', 'artifacts'), { recursive: true })
  await clearScratch(cacheDir)
  const left = async () =>
    (await readdir(join(cacheDir, 'scratch'))).filter((name) => !name.endsWith('.lock'))
  assert.equal((await left()).length, 1)
  assert.deepEqual(
    (await readdir(running.folder)).filter((name) => !name.endsWith('.lock')),
    ['artifacts']
  )
  await running.remove()
  assert.deepEqual(await left(), [])
})
