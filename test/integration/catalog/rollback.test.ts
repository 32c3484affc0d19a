/** Rolling an alias back is one write that loses to any change made meanwhile. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { readAlias, rollBackAlias, setAlias } from '../../../src/catalog/aliases.ts'
import { findModel } from '../../../src/catalog/models.ts'
import { type Catalog, openCatalog } from '../../../src/catalog/open.ts'
import { publishVersion } from '../../../src/catalog/publish-version.ts'
import { ServedModels } from '../../../src/catalog/served-models.ts'
import type { RolledBack } from '../../../src/contract/rollback.ts'
import { temporaryFolder } from '../../support/catalog.ts'
import { publication } from '../../support/publication.ts'

const production = { model: 'digits', alias: 'production' }
const targets = [
  { version: 1, share: 0.9 },
  { version: 2, share: 0.1 }
]
const figures = {
  version: 2,
  variant: 'int8',
  requests: 9,
  failed: 9,
  errorRate: 1,
  medianMs: null
} as const
const event = (at: string): RolledBack => ({
  at,
  what: 'rolled-back',
  reason: 'errors',
  detail: 'nine of nine',
  canary: figures,
  stable: null
})

async function twoVersions(db: Catalog): Promise<number> {
  for (const job of ['job_1', 'job_2']) {
    await db.transaction().execute((trx) => publishVersion(trx, publication(job)))
  }
  return (await findModel(db, 'digits')).id
}

const revisionOf = (etag: string): number => Number(/\d+/.exec(etag)?.[0])

test('rollBackAlias() leaves an alias alone that was changed since', async (t) => {
  const db = await openCatalog(join(await temporaryFolder(t), 'catalog.sqlite'))
  t.after(() => db.destroy())
  const modelId = await twoVersions(db)
  const change = { targets, rollback: { maxErrorRate: 0.1 } }
  const first = await setAlias(db, production, { change })
  const place = { modelId, alias: 'production' }
  const second = await setAlias(db, production, { change })
  const stale = { ...place, revision: revisionOf(first.etag) }
  assert.equal(await rollBackAlias(db, stale, event('a')), false)
  assert.equal((await readAlias(db, 'digits', 'production')).etag, second.etag)
  const fresh = { ...place, revision: revisionOf(second.etag) }
  assert.equal(await rollBackAlias(db, fresh, event('b')), true)
  assert.equal(await rollBackAlias(db, fresh, event('c')), false)
  const { alias, etag } = await readAlias(db, 'digits', 'production')
  assert.notEqual(etag, second.etag)
  assert.deepEqual(alias, {
    alias: 'production',
    targets: [{ version: 1, variant: 'int8', share: 1 }],
    rollback: null,
    events: [event('b')]
  })
})

test('settings and events of an alias outlast the process; the newest twenty events are kept', async (t) => {
  const file = join(await temporaryFolder(t), 'catalog.sqlite')
  const before = await openCatalog(file)
  const modelId = await twoVersions(before)
  const change = { targets, rollback: { maxErrorRate: 0.1 } }
  for (let i = 0; i < 25; i += 1) {
    const { etag } = await setAlias(before, production, { change })
    const place = { modelId, alias: 'production', revision: revisionOf(etag) }
    assert.equal(await rollBackAlias(before, place, event(`${i}`)), true)
  }
  await setAlias(before, production, { change })
  await before.destroy()
  const db = await openCatalog(file)
  t.after(() => db.destroy())
  const { alias } = await readAlias(db, 'digits', 'production')
  assert.deepEqual(
    alias.events.map(({ at }) => at),
    Array.from({ length: 20 }, (_, i) => `${24 - i}`)
  )
  assert.equal((await db.selectFrom('alias_events').selectAll().execute()).length, 20)
  const { watched } = await new ServedModels(db, () => 0.95).resolve('digits', {})
  assert.equal(watched?.position, 1)
  assert.deepEqual(JSON.parse(watched?.rollback ?? ''), alias.rollback)
})
