import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Blobs, openBlobs } from '../../../src/blob/blobs.ts'
import { claimJob } from '../../../src/catalog/job-attempts.ts'
import { jobCheckpoints, keepFile } from '../../../src/catalog/job-files.ts'
import { type Catalog, openCatalog } from '../../../src/catalog/open.ts'
import { backUp, catalogueFile } from '../../../src/service/backup.ts'
import { restore } from '../../../src/service/restore.ts'
import { readyDataset } from '../../support/api-app.ts'
import { queuedJob, temporaryFolder } from '../../support/catalog.ts'

interface Service {
  readonly dataDir: string
  readonly db: Catalog
  readonly blobs: Blobs
  readonly images: Blobs
}

async function openService(t: TestContext, dataDir: string): Promise<Service> {
  const db = await openCatalog(join(dataDir, catalogueFile))
  t.after(() => db.destroy())
  const blobs = await openBlobs(join(dataDir, 'blobs'))
  const images = await openBlobs(join(dataDir, 'images'))
  return { dataDir, db, blobs, images }
}

/** A dataset, and a running job with a checkpoint. */
async function service(t: TestContext): Promise<Service & { job: string }> {
  const opened = await openService(t, await temporaryFolder(t))
  await readyDataset(opened)
  const { id } = await queuedJob(opened.db)
  await claimJob(opened.db, id, { dispatch: 1, worker: 'host-1' })
  await checkpoint(opened, id, 1)
  return { ...opened, job: id }
}

/** Stores a checkpoint as the api does, and removes what it supersedes. */
async function checkpoint({ db, blobs }: Service, id: string, n: number): Promise<void> {
  const stored = await blobs.put(Buffer.from(`checkpoint ${n}`))
  const file = { name: `checkpoint-${n}`, ...stored }
  for (const old of await keepFile(db, { id, attempt: 1 }, 'checkpoint', file)) {
    await blobs.delete(old)
  }
}

const target = async (t: TestContext, name: string) => join(await temporaryFolder(t), name)

test('a backup restored into an empty folder has every row and every file', async (t) => {
  const from = await service(t)
  const to = await target(t, 'backup')
  const note = await backUp({ dataDir: from.dataDir, to, version: '1' })
  assert.deepEqual([note.files, note.damaged], [3, []])

  const dataDir = await temporaryFolder(t)
  const restored = await restore({ from: to, dataDir })
  assert.deepEqual([restored.files, restored.bytes], [note.files, note.bytes])
  const { db, blobs, images } = await openService(t, dataDir)
  const jobs = await from.db.selectFrom('jobs').selectAll().execute()
  // Nobody holds the job of the copy, so that it need not wait for its holder to be given up.
  assert.deepEqual(
    await db.selectFrom('jobs').selectAll().execute(),
    jobs.map((job) => ({ ...job, heartbeat_at: null }))
  )
  const rows = await db.selectFrom('dataset_images').select('sha256').execute()
  for (const { sha256 } of rows) {
    assert.deepEqual(await readFile(images.path(sha256)), await readFile(from.images.path(sha256)))
  }
  const [kept] = await jobCheckpoints(db, from.job)
  assert.equal(await readFile(blobs.path(kept?.sha256 ?? ''), 'utf8'), 'checkpoint 1')
})

test('a backup of a busy service is complete: what vanishes meanwhile is not referred to', async (t) => {
  const from = await service(t)
  let n = 1
  let busy = true
  const writing = (async () => {
    while (busy) await checkpoint(from, from.job, ++n)
  })()
  const folders: string[] = []
  for (let i = 0; i < 5; i += 1) {
    const to = await target(t, 'backup')
    await backUp({ dataDir: from.dataDir, to, version: '1' })
    folders.push(to)
  }
  busy = false
  await writing
  for (const to of folders) {
    const dataDir = await temporaryFolder(t)
    await restore({ from: to, dataDir })
    const { db, blobs } = await openService(t, dataDir)
    const kept = await jobCheckpoints(db, from.job)
    assert.ok(kept.length > 0)
    for (const { name, sha256 } of kept) {
      const text = await readFile(blobs.path(sha256), 'utf8')
      assert.equal(text.replace(' ', '-'), name)
    }
    const stored = (await Array.fromAsync(blobs.list())).map(({ sha256 }) => sha256)
    assert.deepEqual(new Set(stored), new Set(kept.map(({ sha256 }) => sha256)))
  }
  assert.ok(n > 5)
})

test('an archive that waits for its import is part of the backup', async (t) => {
  const from = await service(t)
  await readyDataset(from, 'waiting', 'importing')
  const uploads = join(from.dataDir, 'uploads')
  await mkdir(uploads)
  await writeFile(join(uploads, 'ds_waiting'), 'an archive')
  const to = await target(t, 'backup')
  await backUp({ dataDir: from.dataDir, to, version: '1' })
  const dataDir = await temporaryFolder(t)
  await restore({ from: to, dataDir })
  assert.equal(await readFile(join(dataDir, 'uploads', 'ds_waiting'), 'utf8'), 'an archive')
})

test('a file that has rotted is named and left out; the rest is saved and comes back', async (t) => {
  const from = await service(t)
  const { sha256 } = await from.db
    .selectFrom('dataset_images')
    .select('sha256')
    .executeTakeFirstOrThrow()
  await writeFile(from.images.path(sha256), 'rot')
  const to = await target(t, 'backup')
  const note = await backUp({ dataDir: from.dataDir, to, version: '1' })
  assert.deepEqual(note.damaged, [`images/${sha256}`])
  const restored = await restore({ from: to, dataDir: await temporaryFolder(t) })
  assert.deepEqual(restored.damaged, note.damaged)
  assert.equal(restored.files, 2)
})

test('a file that is missing for good fails the backup, which leaves no backup', async (t) => {
  const from = await service(t)
  const [kept] = await jobCheckpoints(from.db, from.job)
  await from.blobs.delete(kept?.sha256 ?? '')
  const to = await target(t, 'backup')
  await assert.rejects(
    backUp({ dataDir: from.dataDir, to, version: '1' }),
    new RegExp(`blobs/${kept?.sha256} is missing`)
  )
  assert.equal(existsSync(to), false)
})

test('a log that SQLite left beside a lost catalogue is not replayed into the restored one', async (t) => {
  const from = await service(t)
  const to = await target(t, 'backup')
  await backUp({ dataDir: from.dataDir, to, version: '1' })
  const dataDir = await temporaryFolder(t)
  const lost = await openService(t, dataDir)
  await queuedJob(lost.db)
  // As a crash leaves them: a log in use, whose database is gone.
  const kept = await readFile(join(dataDir, `${catalogueFile}-wal`))
  assert.ok(kept.length > 0)
  await lost.db.destroy()
  await rm(join(dataDir, catalogueFile))
  for (const end of ['-wal', '-journal']) await writeFile(join(dataDir, catalogueFile + end), kept)
  await restore({ from: to, dataDir })
  const { db } = await openService(t, dataDir)
  const jobs = await db.selectFrom('jobs').select('id').execute()
  assert.deepEqual(jobs, [{ id: from.job }])
  assert.ok((await db.selectFrom('dataset_images').select('sha256').execute()).length > 0)
})

test('over the remains of a damaged folder only what has not rotted is kept', async (t) => {
  const from = await service(t)
  const shas = (await from.db.selectFrom('dataset_images').select('sha256').execute()).map(
    ({ sha256 }) => sha256
  )
  const [first = '', second = ''] = shas
  const sound = await readFile(from.images.path(first))
  const to = await target(t, 'backup')
  const dataDir = await temporaryFolder(t)
  const { images } = await openService(t, dataDir)
  for (const sha256 of shas) await images.put(await readFile(from.images.path(sha256)))
  // One has rotted in the folder only, the other in the original too, of which the backup has none.
  await writeFile(from.images.path(second), 'rot')
  await backUp({ dataDir: from.dataDir, to, version: '1' })
  await writeFile(
    images.path(first),
    sound.map((byte) => byte ^ 1)
  )
  await writeFile(images.path(second), 'rot as well')
  await rm(join(dataDir, catalogueFile))
  const restored = await restore({ from: to, dataDir })
  assert.deepEqual(restored.damaged, [`images/${second}`])
  assert.deepEqual(await readFile(images.path(first)), sound)
  assert.equal(await images.has(second), false)
})

test('restore() refuses a folder in use, a half backup, and one that lost a file', async (t) => {
  const from = await service(t)
  const to = await target(t, 'backup')
  await backUp({ dataDir: from.dataDir, to, version: '1' })
  await assert.rejects(restore({ from: to, dataDir: from.dataDir }), /holds a catalogue/)

  const dataDir = await temporaryFolder(t)
  const [kept] = await jobCheckpoints(from.db, from.job)
  const file = join(to, 'blobs', kept?.sha256.slice(0, 2) ?? '', kept?.sha256 ?? '')
  const bytes = await readFile(file)
  await rm(file)
  await assert.rejects(restore({ from: to, dataDir }), new RegExp(`${kept?.sha256} is missing`))
  // What is put right restores into the folder that the first try has left.
  await writeFile(file, bytes)
  await restore({ from: to, dataDir })

  await rm(join(to, 'backup.json'))
  await assert.rejects(restore({ from: to, dataDir: await temporaryFolder(t) }), /backup\.json/)
  await assert.rejects(restore({ from: join(to, 'nowhere'), dataDir }), /Cannot read .*nowhere/)
})
