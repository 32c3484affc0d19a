/** The watch over canaries, over a real catalogue, with outcomes in place of traffic. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { sql } from 'kysely'
import { readAlias, setAlias } from '../../../src/catalog/aliases.ts'
import { type Catalog, openCatalog } from '../../../src/catalog/open.ts'
import { publishVersion } from '../../../src/catalog/publish-version.ts'
import { ServedModels, type ServedVariant } from '../../../src/catalog/served-models.ts'
import type { RolledBack } from '../../../src/contract/rollback.ts'
import { Canaries } from '../../../src/service/canaries.ts'
import { temporaryFolder } from '../../support/catalog.ts'
import { publication } from '../../support/publication.ts'
import { until } from '../../support/until.ts'

const production = { model: 'digits', alias: 'production' }
const change = {
  targets: [
    { version: 1, share: 0.8 },
    { version: 2, share: 0.1 },
    { version: 3, share: 0.1 }
  ],
  rollback: { maxErrorRate: 0.2, maxLatencyRatio: 2, minRequests: 10 }
}

interface Watched {
  readonly db: Catalog
  readonly canaries: Canaries
  readonly rolledBack: RolledBack[]
  readonly errors: unknown[]
  /** What a request would be answered by, were its draw so. */
  served(draw: number): Promise<ServedVariant>
}

async function watched(t: TestContext): Promise<Watched> {
  const db = await openCatalog(join(await temporaryFolder(t), 'catalog.sqlite'))
  for (const job of ['job_1', 'job_2', 'job_3']) {
    await db.transaction().execute((trx) => publishVersion(trx, publication(job)))
  }
  await setAlias(db, production, { change })
  const rolledBack: RolledBack[] = []
  const errors: unknown[] = []
  const log = { warn() {}, error: (line: unknown) => void errors.push(line) }
  const onRolledBack = (event: RolledBack) => void rolledBack.push(event)
  const canaries = new Canaries({ db, log, onRolledBack })
  t.after(async () => {
    await canaries.close()
    await db.destroy()
  })
  const served = (draw: number) => new ServedModels(db, () => draw).resolve('digits', {})
  return { db, canaries, rolledBack, errors, served }
}

const times = (n: number, act: () => void): void => {
  for (let i = 0; i < n; i += 1) act()
}

test('the canary that is bad sends the alias back, whatever the other one does', async (t) => {
  const { db, canaries, rolledBack, served } = await watched(t)
  const [stable, good, bad] = [await served(0), await served(0.85), await served(0.95)]
  times(20, () => canaries.observe(stable, { failed: false, ms: 1 }))
  times(20, () => canaries.observe(good, { failed: false, ms: 1.5 }))
  times(20, () => canaries.observe(bad, { failed: false, ms: 5 }))
  await until(() => rolledBack.length > 0)
  const [{ reason, canary } = assert.fail()] = rolledBack
  assert.deepEqual([reason, canary.version], ['latency', 3])
  const { alias } = await readAlias(db, 'digits', 'production')
  assert.deepEqual(alias.targets, [{ version: 1, variant: 'int8', share: 1 }])
})

test('requests of an earlier state of the alias are not counted for the later one', async (t) => {
  const { db, canaries, rolledBack, served } = await watched(t)
  const before = await served(0.85)
  await setAlias(db, production, { change })
  const after = await served(0.85)
  assert.notEqual(before.watched?.revision, after.watched?.revision)
  times(9, () => canaries.observe(after, { failed: true, ms: 1 }))
  times(100, () => canaries.observe(before, { failed: true, ms: 1 }))
  // A second watch, as after a restart, knows nothing of the first.
  const again = new Canaries({
    db,
    log: { warn() {}, error() {} },
    onRolledBack: (event) => void rolledBack.push(event)
  })
  t.after(() => again.close())
  times(9, () => again.observe(after, { failed: true, ms: 1 }))
  canaries.observe(after, { failed: true, ms: 1 })
  await until(() => rolledBack.length > 0)
  assert.deepEqual(
    rolledBack.map(({ canary }) => canary.requests),
    [10]
  )
})

test('a rollback that cannot be written is told, and tried again', async (t) => {
  const { db, canaries, rolledBack, errors, served } = await watched(t)
  const bad = await served(0.95)
  await sql`create trigger no_rollback before update on aliases
    begin select raise(abort, 'not now'); end`.execute(db)
  times(20, () => canaries.observe(bad, { failed: true, ms: 1 }))
  await until(() => errors.length > 0)
  assert.deepEqual(rolledBack, [])
  await sql`drop trigger no_rollback`.execute(db)
  await until(() => {
    canaries.observe(bad, { failed: true, ms: 1 })
    return rolledBack.length > 0
  })
})

test('any number of watched aliases is bounded by the newest', async (t) => {
  const { db, canaries, rolledBack, served } = await watched(t)
  const one = await served(0.95)
  const { watched: target = assert.fail() } = one
  times(9, () => canaries.observe(one, { failed: true, ms: 1 }))
  for (let i = 0; i < 500; i += 1) {
    const other = { ...one, watched: { ...target, alias: `other-${i}` } }
    canaries.observe(other, { failed: false, ms: 1 })
  }
  // The first one has been forgotten: its tenth failure is the first that is known.
  canaries.observe(one, { failed: true, ms: 1 })
  const two = { ...one, watched: { ...target, alias: 'other-499' } }
  times(20, () => canaries.observe(two, { failed: true, ms: 1 }))
  times(9, () => canaries.observe(one, { failed: true, ms: 1 }))
  await until(() => rolledBack.length > 0)
  assert.deepEqual(
    rolledBack.map(({ canary }) => canary.requests),
    [10]
  )
  assert.equal((await readAlias(db, 'digits', 'production')).alias.targets.length, 1)
})
