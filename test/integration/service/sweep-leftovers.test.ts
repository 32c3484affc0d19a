/** What lies about in a data folder: removed once nobody can want it any more. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { sweepLeftovers } from '../../../src/service/sweep-leftovers.ts'
import { temporaryFolder } from '../../support/catalog.ts'

const hour = 3_600_000
const day = 24 * hour

test('sweepLeftovers() removes what broke off an hour ago and what was put aside a week ago', async (t) => {
  const dataDir = await temporaryFolder(t)
  const soon = [
    'imports/ds_1/files/image',
    'uploads/ds_gone',
    'blobs/staging/half',
    'images/staging/half'
  ]
  const late = ['redis-damaged-1700000000000/appendonly.aof', 'backup.partial']
  const never = [
    'uploads/ds_wanted',
    'blobs/ab/abc',
    'catalog/catalog.sqlite',
    'redis/aof',
    'lock.db'
  ]
  for (const name of [...soon, ...late, ...never]) {
    await mkdir(dirname(join(dataDir, name)), { recursive: true })
    await writeFile(join(dataDir, name), 'x')
  }
  const isThere = (name: string) => existsSync(join(dataDir, name))
  const sweep = (afterMs: number) =>
    sweepLeftovers({ dataDir, importing: new Set(['ds_wanted']), now: Date.now() + afterMs })
  assert.deepEqual(await sweep(0.9 * hour), { removed: 0, bytes: 0 })
  assert.equal((await sweep(1.1 * hour)).removed, soon.length)
  assert.deepEqual(soon.filter(isThere), [])
  assert.deepEqual(late.filter(isThere), late)
  assert.equal((await sweep(7.1 * day)).removed, late.length)
  assert.deepEqual(late.filter(isThere), [])
  assert.deepEqual(never.filter(isThere), never)
})
