import assert from 'node:assert/strict'
import { utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { openBlobs } from '../../../src/blob/blobs.ts'
import { claimJob } from '../../../src/catalog/job-attempts.ts'
import { keepFile, unreferenced } from '../../../src/catalog/job-files.ts'
import { sweepBlobs } from '../../../src/service/sweep-blobs.ts'
import { queuedJob, temporaryCatalog, temporaryFolder } from '../../support/catalog.ts'

test('sweepBlobs() removes what nothing refers to, once it is an hour old', async (t) => {
  const db = await temporaryCatalog(t)
  const blobs = await openBlobs(join(await temporaryFolder(t), 'blobs'))
  const names = ['kept', 'lost', 'young']
  const [kept, lost, young] = await Promise.all(names.map((n) => blobs.put(Buffer.from(n))))
  assert.ok(kept && lost && young)
  const { id, dispatch } = await queuedJob(db)
  const { attempt } = await claimJob(db, id, { dispatch, worker: 'w' })
  await keepFile(db, { id, attempt }, 'artifact', { name: 'kept', ...kept })
  const longAgo = new Date(Date.now() - 2 * 3_600_000)
  for (const { sha256 } of [kept, lost]) await utimes(blobs.path(sha256), longAgo, longAgo)
  assert.deepEqual(await sweepBlobs(db, blobs, unreferenced), { removed: 1, bytes: 4 })
  const left = await Promise.all([kept, lost, young].map(({ sha256 }) => blobs.has(sha256)))
  assert.deepEqual(left, [true, false, true])
})
