/** Imports whose cost must not follow from what an archive repeats, and a scratch file without room. */
import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { asDiskError, ServiceError } from '../../../src/errors.ts'
import { zipOf } from '../../support/archives.ts'
import { flatImage } from '../../support/images.ts'
import { importArchive } from '../../support/imports.ts'

test('an image under a thousand labels gives faults of bounded size', async () => {
  const bytes = await flatImage(90)
  const labels = Array.from({ length: 1000 }, (_, i) => `${'y'.repeat(90)}${i}`)
  const archive = () => zipOf(labels.map((label) => ({ name: `${label}/1.png`, bytes })))
  const { report, error } = await importArchive({ archive })
  assert.equal(error?.code, 'DATASET_EMPTY')
  assert.equal(report?.faultsTotal, 1000)
  for (const { code, detail } of report?.faults ?? []) {
    assert.equal(code, 'IMAGE_LABEL_CONFLICT')
    assert.match(detail, / and 995 more$/)
    assert.ok(detail.length < 1000, `${detail.length} characters`)
  }
})

test('a path that archive and manifest repeat a thousand times is labelled once', async () => {
  const bytes = await flatImage(90)
  const members = Array.from({ length: 1000 }, () => ({ name: 'a.png', bytes }))
  const other = { name: 'b.png', bytes: await flatImage(200) }
  const rows = `path,label\n${'a.png,x\n'.repeat(1000)}b.png,y\n`
  const manifest = { name: 'manifest.csv', bytes: Buffer.from(rows) }
  const archive = () => zipOf([...members, other, manifest])
  const { report, error } = await importArchive({ archive, limits: { seconds: 60 } })
  assert.equal(error, null)
  assert.deepEqual([report?.kept, report?.duplicates, report?.faultsTotal], [2, 999, 0])
})

test('asDiskError() names a database that is full', () => {
  const db = new DatabaseSync(':memory:')
  db.exec('create table t (x); pragma max_page_count = 4')
  const fill = () => db.exec('insert into t values (zeroblob(100000))')
  assert.throws(fill, (error) => {
    const named = asDiskError(error, 'import the images')
    return named instanceof ServiceError && named.code === 'DISK_FULL'
  })
  db.close()
})
