import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { ServiceError } from '../../../src/errors.ts'
import { KeptImages, type KeptImagesOptions } from '../../../src/service/kept-images.ts'
import { quiet } from '../../support/api-app.ts'
import { temporaryFolder } from '../../support/catalog.ts'

const image = (i: number) => {
  const bytes = Buffer.alloc(1000, i)
  return { bytes, sha256: createHash('sha256').update(bytes).digest('hex') }
}

/** Room for `room` bytes. */
function storageOf(room = Number.POSITIVE_INFINITY) {
  let left = room
  const reserve = async (_purpose: string, bytes: number) => {
    if (bytes > left) throw new ServiceError('DISK_FULL', { detail: 'Cannot keep it: no room' })
    left -= bytes
    return { take: async () => {}, release: () => {} }
  }
  return { reserve, removed: () => {} } as unknown as KeptImagesOptions['storage']
}

async function opener(t: TestContext) {
  const folder = join(await temporaryFolder(t), 'kept')
  const storage = storageOf()
  const open = (maxBytes: number, changes: Partial<KeptImagesOptions> = {}) =>
    KeptImages.open({ folder, maxBytes, storage, log: quiet(), ...changes })
  return { folder, open }
}

const at = (minute: number) => new Date(Date.UTC(2026, 0, 1, 0, minute))

test('images are kept up to so many bytes; those predicted longest ago go', async (t) => {
  const { open } = await opener(t)
  const kept = await open(2500)
  const has = async (i: number) => (await kept.find(image(i).sha256)) !== null
  for (const [minute, i] of [1, 2, 1, 3].entries()) {
    kept.keep(image(i).sha256, image(i).bytes)
    await kept.store(at(minute))
  }
  assert.deepEqual([await has(1), await has(2), await has(3)], [true, false, true])
  // Too large for all of it.
  const large = Buffer.alloc(2501)
  kept.keep(createHash('sha256').update(large).digest('hex'), large)
  await kept.store(at(5))
  assert.deepEqual([await has(1), await has(3)], [true, true])
  await kept.forget(at(3))
  assert.deepEqual([await has(1), await has(3)], [false, true])
})

test('what was kept is there after a start, in its order, and within a smaller limit', async (t) => {
  const { folder, open } = await opener(t)
  const before = await open(10_000)
  for (const i of [3, 1, 2]) {
    before.keep(image(i).sha256, image(i).bytes)
    await before.store(at(i))
  }
  await writeFile(join(folder, 'x.part'), 'half')
  const after = await open(2000)
  assert.deepEqual((await readdir(folder)).sort(), [image(2).sha256, image(3).sha256].sort())
  assert.equal((await after.find(image(3).sha256))?.bytes, 1000)
  assert.equal(await after.find(image(1).sha256), null)
  await open(0)
  await assert.rejects(readdir(folder), { code: 'ENOENT' })
})

test('an image for which there is no room is not kept, and the next one is tried', async (t) => {
  const { folder, open } = await opener(t)
  const told: string[] = []
  const log = { ...quiet(), warn: (_about: object, text: string) => told.push(text) }
  const kept = await open(10_000, { storage: storageOf(1000), log })
  for (const i of [1, 2]) kept.keep(image(i).sha256, image(i).bytes)
  await kept.store()
  assert.deepEqual(told, ['an image is not kept'])
  assert.deepEqual(await readdir(folder), [image(1).sha256])
})

test('with 0 bytes nothing is kept', async (t) => {
  const { open } = await opener(t)
  const kept = await open(0)
  kept.keep(image(1).sha256, image(1).bytes)
  await kept.store()
  assert.equal(await kept.find(image(1).sha256), null)
})
