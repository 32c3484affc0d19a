/** The file that makes room for the catalogue when there is none. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { Ballast } from '../../../src/service/ballast.ts'
import { temporaryFolder } from '../../support/catalog.ts'

const MiB = 2 ** 20

test('the ballast takes real room, goes when the disk is full, and comes back when it is not', async (t) => {
  const file = join(await temporaryFolder(t), 'ballast')
  const space = { free: 1000 * MiB, size: 1000 * MiB }
  const ballast = new Ballast({ file, storage: { space: async () => space } })
  await ballast.load()
  const { size, blocks } = await stat(file)
  assert.equal(size, 8 * MiB)
  assert.ok(blocks * 512 >= size, 'no hole')
  await ballast.load()
  await ballast.drop()
  assert.ok(existsSync(file), 'there is room enough')
  space.free = MiB
  await Promise.all([ballast.drop(), ballast.drop()])
  assert.ok(!existsSync(file))
  space.free = 40 * MiB
  await ballast.load()
  assert.ok(!existsSync(file), 'it would take what there is')
  space.free = 1000 * MiB
  await Promise.all([ballast.load(), ballast.load()])
  assert.equal((await stat(file)).size, 8 * MiB)
})
