/** Having a dataset at hand: fetched once, held while it is used, put off when the disk is full. */
import assert from 'node:assert/strict'
import { existsSync, readlinkSync } from 'node:fs'
import { copyFile, mkdir, open, readdir, readFile, utimes, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import { ServiceError } from '../../../src/errors.ts'
import type { ApiClient } from '../../../src/worker/api-client.ts'
import { evict } from '../../../src/worker/cache-eviction.ts'
import { fetchDataset } from '../../../src/worker/dataset-cache.ts'
import { trainerBench } from '../../support/trainer-run.ts'

const { signal } = new AbortController()
/** An api that serves the files in `dataset`. */
const apiOf = (dataset: string) =>
  ({
    downloadManifest: (_dataset: unknown, file: string) =>
      copyFile(join(dataset, 'manifest.jsonl'), file),
    downloadImages: (_dataset: unknown, file: string) => copyFile(join(dataset, 'images.tar'), file)
  }) as unknown as ApiClient
const withoutLocks = (names: readonly string[]) => names.filter((name) => !name.endsWith('.lock'))

test('fetchDataset() makes room first, holds what it fetched, and names a disk that is full', async (t) => {
  const { assignment, paths } = await trainerBench(t, { quantize: null })
  const cacheDir = join(paths.scratch, 'cache')
  const datasets = join(cacheDir, 'datasets')
  await mkdir(join(datasets, 'old'), { recursive: true })
  await writeFile(join(datasets, 'old', 'images.tar'), Buffer.alloc(1000))
  await utimes(join(datasets, 'old'), 1, 1)
  let isFull = true
  let fetched = 0
  const full = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
  const api = {
    downloadManifest: (_dataset: unknown, file: string) =>
      copyFile(join(paths.dataset, 'manifest.jsonl'), file),
    async downloadImages(_dataset: unknown, file: string) {
      fetched++
      await copyFile(join(paths.dataset, 'images.tar'), file)
      if (isFull) throw full
    }
  } as unknown as ApiClient
  const cache = { cacheDir, cacheBytes: Number.POSITIVE_INFINITY, signal }
  await assert.rejects(
    fetchDataset(api, assignment, cache),
    (error) => error instanceof ServiceError && error.code === 'DISK_FULL'
  )
  // Nothing of it is left, and what nobody uses has made room for the next try.
  assert.deepEqual(withoutLocks(await readdir(datasets)), [])
  isFull = false
  const held = await fetchDataset(api, assignment, cache)
  assert.deepEqual((await readdir(held.folder)).sort(), ['images.tar', 'manifest.jsonl'])
  await evict(cacheDir, 0)
  const again = await fetchDataset(api, assignment, cache)
  assert.deepEqual([again.folder, fetched], [held.folder, 2])
  held.release()
  await evict(cacheDir, 0)
  assert.deepEqual(withoutLocks(await readdir(datasets)), [assignment.dataset.hash])
  again.release()
  await evict(cacheDir, 0)
  assert.deepEqual(withoutLocks(await readdir(datasets)), [])
})

test('fetchDataset() keeps the cache within its bytes, the coming ones counted', async (t) => {
  const { assignment, paths } = await trainerBench(t, { quantize: null })
  const cacheDir = join(paths.scratch, 'cache')
  const packs = join(cacheDir, 'packs')
  await mkdir(packs, { recursive: true })
  for (const [i, name] of ['a.pack', 'b.pack'].entries()) {
    await writeFile(join(packs, name), Buffer.alloc(1_000_000))
    await utimes(join(packs, name), i + 1, i + 1)
  }
  const { release } = await fetchDataset(apiOf(paths.dataset), assignment, {
    cacheDir,
    cacheBytes: 2_000_000,
    signal
  })
  release()
  assert.deepEqual(withoutLocks(await readdir(packs)), ['b.pack'])
})

test('fetchDataset() takes no folder without images for a copy, and fetches a dropped one anew', async (t) => {
  const { assignment, paths } = await trainerBench(t, { quantize: null })
  const cacheDir = join(paths.scratch, 'cache')
  const folder = join(cacheDir, 'datasets', assignment.dataset.hash)
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'manifest.jsonl'), 'cut sh')
  const api = apiOf(paths.dataset)
  const cache = { cacheDir, cacheBytes: Number.POSITIVE_INFINITY, signal }
  const fetched: boolean[] = []
  for (const isDropped of [false, true, false]) {
    const { isFresh, drop, release } = await fetchDataset(api, assignment, cache)
    fetched.push(isFresh)
    for (const name of ['manifest.jsonl', 'images.tar']) {
      const bytes = await readFile(join(folder, name))
      assert.ok(bytes.equals(await readFile(join(paths.dataset, name))), name)
    }
    if (isDropped) await drop()
    release()
  }
  assert.deepEqual(fetched, [true, false, true])
})

test('fetchDataset() has both files on the disk before their names, and the images last', async (t) => {
  const { assignment, paths } = await trainerBench(t, { quantize: null })
  const cacheDir = join(paths.scratch, 'cache')
  const { hash } = assignment.dataset
  const images = join(cacheDir, 'datasets', hash, 'images.tar')
  const handle = await open(paths.scratch)
  const handles: { sync(): Promise<void> } = Object.getPrototypeOf(handle)
  await handle.close()
  const { sync } = handles
  const flushed: string[] = []
  t.mock.method(handles, 'sync', async function (this: { readonly fd: number }) {
    await sync.call(this)
    flushed.push(`${basename(readlinkSync(`/proc/self/fd/${this.fd}`))} ${existsSync(images)}`)
  })
  const cache = { cacheDir, cacheBytes: Number.POSITIVE_INFINITY, signal }
  const { release } = await fetchDataset(apiOf(paths.dataset), assignment, cache)
  release()
  assert.deepEqual(flushed, [
    'datasets false',
    'manifest.jsonl false',
    `${hash} false`,
    'images.tar false',
    `${hash} true`
  ])
})
