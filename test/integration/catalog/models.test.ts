import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { deleteAlias, readAlias, setAlias } from '../../../src/catalog/aliases.ts'
import {
  deleteModel,
  deleteVersion,
  listModels,
  readArtifact,
  readModel,
  readVersion
} from '../../../src/catalog/models.ts'
import { type Catalog, openCatalog } from '../../../src/catalog/open.ts'
import { type Publication, publishVersion } from '../../../src/catalog/publish-version.ts'
import { ServedModels } from '../../../src/catalog/served-models.ts'
import { publication } from '../../support/publication.ts'

async function catalog(t: TestContext): Promise<Catalog> {
  const db = await openCatalog(':memory:')
  t.after(() => db.destroy())
  return db
}

const publish = (db: Catalog, wanted: Publication): Promise<number> =>
  db.transaction().execute((trx) => publishVersion(trx, wanted))

const refused = (code: string) => (error: unknown) => {
  assert.equal((error as { code?: string }).code, code)
  return true
}

const production = { model: 'digits', alias: 'production' }

test('publishVersion() gives the same job the same number', async (t) => {
  const db = await catalog(t)
  assert.equal(await publish(db, publication('job_1')), 1)
  assert.equal(await publish(db, publication('job_1')), 1)
  assert.equal(await publish(db, publication('job_2')), 2)
  const { versions } = await readModel(db, 'digits')
  assert.deepEqual(
    versions.map(({ version, job, recommended, accuracy }) => [
      version,
      job,
      recommended,
      accuracy
    ]),
    [
      [2, 'job_2', 'int8', 0.9],
      [1, 'job_1', 'int8', 0.9]
    ]
  )
})

test('publishVersion() moves production only for the first version or when asked', async (t) => {
  const db = await catalog(t)
  const target = async (alias: string) =>
    (await readAlias(db, 'digits', alias)).alias.targets.map(({ version }) => version)
  await publish(db, publication('job_1'))
  await publish(db, publication('job_2'))
  assert.deepEqual(await target('production'), [1])
  await publish(db, publication('job_3', { alias: 'canary' }))
  assert.deepEqual([await target('production'), await target('canary')], [[1], [3]])
  await publish(db, publication('job_4', { alias: 'production' }))
  assert.deepEqual(await target('production'), [4])
})

test('publishVersion() refuses a variant whose file was not uploaded', async (t) => {
  const db = await catalog(t)
  await assert.rejects(
    publish(db, publication('job_1', { artifacts: [] })),
    refused('MODEL_INVALID')
  )
  assert.deepEqual((await listModels(db, { limit: 50, before: null })).items, [])
})

test('a version number is never given twice', async (t) => {
  const db = await catalog(t)
  await publish(db, publication('job_1'))
  await publish(db, publication('job_2'))
  await deleteVersion(db, 'digits', 2)
  assert.equal(await publish(db, publication('job_3')), 3)
})

test('deleteVersion() refuses while an alias points at it', async (t) => {
  const db = await catalog(t)
  await publish(db, publication('job_1'))
  await assert.rejects(deleteVersion(db, 'digits', 1), refused('VERSION_IN_USE'))
  await deleteAlias(db, production, {})
  await deleteVersion(db, 'digits', 1)
  await assert.rejects(readVersion(db, 'digits', 1), refused('VERSION_NOT_FOUND'))
  await assert.rejects(deleteVersion(db, 'digits', 1), refused('VERSION_NOT_FOUND'))
})

test('deleteModel() takes versions, artifacts and aliases along', async (t) => {
  const db = await catalog(t)
  await publish(db, publication('job_1'))
  await deleteModel(db, 'digits')
  for (const table of [
    'models',
    'model_versions',
    'artifacts',
    'aliases',
    'alias_targets'
  ] as const) {
    assert.deepEqual(await db.selectFrom(table).selectAll().execute(), [], table)
  }
})

test('readVersion() shows the report unchanged, with its artifacts', async (t) => {
  const db = await catalog(t)
  const wanted = publication('job_1')
  await publish(db, wanted)
  const { model, version, job, dataset, createdAt, artifacts, ...report } = await readVersion(
    db,
    'digits',
    1
  )
  assert.deepEqual(
    { model, version, job, dataset },
    {
      model: 'digits',
      version: 1,
      job: 'job_1',
      dataset: wanted.dataset
    }
  )
  assert.deepEqual(report, wanted.report)
  assert.deepEqual(artifacts, wanted.artifacts)
  assert.ok(Date.parse(createdAt) > 0)
  const file = { name: 'digits', version: 1, file: 'int8.onnx' }
  assert.deepEqual(await readArtifact(db, file), wanted.artifacts[1])
  await assert.rejects(readArtifact(db, { ...file, file: 'x' }), refused('ARTIFACT_NOT_FOUND'))
  await assert.rejects(readArtifact(db, { ...file, version: 2 }), refused('VERSION_NOT_FOUND'))
})

test('listModels() pages from the newest to the oldest', async (t) => {
  const db = await catalog(t)
  for (const model of ['a', 'b', 'c']) await publish(db, publication(`job_${model}`, { model }))
  const first = await listModels(db, { limit: 2, before: null })
  assert.deepEqual(
    first.items.map(({ name }) => name),
    ['c', 'b']
  )
  const second = await listModels(db, { limit: 2, before: first.next })
  assert.deepEqual(
    second.items.map(({ name }) => name),
    ['a']
  )
  assert.equal(second.next, null)
})

test('setAlias() fills in the recommended variant and changes the tag', async (t) => {
  const db = await catalog(t)
  await publish(db, publication('job_1'))
  const before = await readAlias(db, 'digits', 'production')
  const set = await setAlias(db, production, { change: { version: 1 }, ifMatch: before.etag })
  assert.deepEqual(set.alias.targets, [{ version: 1, variant: 'int8', share: 1 }])
  assert.equal(set.created, false)
  assert.notEqual(set.etag, before.etag)
  await assert.rejects(
    setAlias(db, production, { change: { version: 1 }, ifMatch: before.etag }),
    refused('PRECONDITION_FAILED')
  )
  await assert.rejects(
    setAlias(db, production, { change: { version: 1 }, ifNoneMatch: '*' }),
    refused('PRECONDITION_FAILED')
  )
})

test('setAlias() names every fault by its pointer', async (t) => {
  const db = await catalog(t)
  await publish(db, publication('job_1', { variants: ['baseline'] }))
  const pointers = async (change: Parameters<typeof setAlias>[2]['change']) => {
    const error = await setAlias(db, production, { change }).catch((error) => error)
    assert.equal(error.code, 'REQUEST_INVALID')
    return error.errors.map(({ pointer }: { pointer: string }) => pointer)
  }
  const half = { version: 1, share: 0.5 }
  assert.deepEqual(await pointers({}), [''])
  assert.deepEqual(await pointers({ version: 1, targets: [{ version: 1 }] }), ['/targets'])
  assert.deepEqual(await pointers({ version: 9 }), ['/version'])
  assert.deepEqual(await pointers({ version: 1, variant: 'int8' }), ['/variant'])
  assert.deepEqual(await pointers({ targets: [half] }), ['/targets'])
  assert.deepEqual(await pointers({ targets: [half, half] }), ['/targets/1'])
  assert.deepEqual(await pointers({ targets: [half, { ...half, version: 7 }] }), [
    '/targets/1/version'
  ])
  assert.deepEqual(await pointers({ targets: [half, { version: 1, variant: 'baseline' }] }), [
    '/targets/1/share',
    '/targets',
    '/targets/1'
  ])
})

test('ServedModels.resolve() follows version, alias, production, newest, in this order', async (t) => {
  const db = await catalog(t)
  const served = new ServedModels(db, () => 0)
  await assert.rejects(served.resolve('digits', {}), refused('MODEL_NOT_FOUND'))
  for (const job of ['job_1', 'job_2', 'job_3']) await publish(db, publication(job))
  await setAlias(
    db,
    { model: 'digits', alias: 'canary' },
    { change: { version: 2, variant: 'baseline' } }
  )
  const answer = async (choice: Parameters<ServedModels['resolve']>[1]) => {
    const { version, variant } = await served.resolve('digits', choice)
    return `${version} ${variant}`
  }
  assert.equal(await answer({}), '1 int8')
  assert.equal(await answer({ version: 3 }), '3 int8')
  assert.equal(await answer({ version: 3, variant: 'baseline' }), '3 baseline')
  assert.equal(await answer({ alias: 'canary' }), '2 baseline')
  assert.equal(await answer({ alias: 'canary', variant: 'int8' }), '2 int8')
  await deleteAlias(db, production, {})
  assert.equal(await answer({}), '3 int8')
  await deleteVersion(db, 'digits', 3)
  await assert.rejects(served.resolve('digits', { version: 3 }), refused('VERSION_NOT_FOUND'))
  await assert.rejects(served.resolve('digits', { alias: 'none' }), refused('ALIAS_NOT_FOUND'))
  await assert.rejects(
    served.resolve('digits', { variant: 'pruned' }),
    refused('VARIANT_NOT_FOUND')
  )
  await assert.rejects(
    served.resolve('digits', { version: 1, alias: 'canary' }),
    refused('REQUEST_INVALID')
  )
})

test('ServedModels.resolve() tells what is committed, whenever it is asked', async (t) => {
  const db = await catalog(t)
  await publish(db, publication('job_1'))
  await publish(db, publication('job_2'))
  const served = new ServedModels(db, () => 0)
  const version = async () => (await served.resolve('digits', {})).version
  const pointTo = (to: number) =>
    db.transaction().execute(async (trx) => {
      await trx.updateTable('alias_targets').set({ version: to }).execute()
      // Asked after the row was written and before anybody may see it.
      const asked = version()
      if (to === 0) throw new Error('taken back')
      return { asked }
    })
  assert.equal(await version(), 1)
  const { asked } = await pointTo(2)
  assert.deepEqual([await asked, await version()], [2, 2])
  await assert.rejects(pointTo(0), /taken back/)
  assert.deepEqual([await version(), await version()], [2, 2])
})

test('ServedModels.resolve() shares the traffic by the draw', async (t) => {
  const db = await catalog(t)
  await publish(db, publication('job_1'))
  await publish(db, publication('job_2'))
  const targets = [
    { version: 1, share: 0.9 },
    { version: 2, share: 0.1 }
  ]
  await setAlias(db, production, { change: { targets } })
  let draw = 0
  const served = new ServedModels(db, () => draw)
  const versionAt = async (at: number) => {
    draw = at
    return (await served.resolve('digits', {})).version
  }
  assert.deepEqual(
    [await versionAt(0), await versionAt(0.89), await versionAt(0.91), await versionAt(0.999999)],
    [1, 1, 2, 2]
  )
})

test('ServedModels.resolve() keeps who asks to one target, also when its share grows', async (t) => {
  const db = await catalog(t)
  await publish(db, publication('job_1'))
  await publish(db, publication('job_2'))
  const served = new ServedModels(db, () => assert.fail('nothing is to be drawn'))
  const users = Array.from({ length: 1000 }, (_, i) => `user ${i}`)
  const canary = async (share: number): Promise<Set<string>> => {
    const targets = [
      { version: 1, share: 1 - share },
      { version: 2, share }
    ]
    await setAlias(db, production, { change: { targets } })
    const asked = users.map(async (sticky) => {
      const { version } = await served.resolve('digits', { sticky })
      assert.equal((await served.resolve('digits', { sticky })).version, version)
      return version === 2 ? [sticky] : []
    })
    return new Set((await Promise.all(asked)).flat())
  }
  const [few, more] = [await canary(0.1), await canary(0.3)]
  // Four standard deviations of the binomial distribution.
  assert.ok(Math.abs(few.size - 100) < 38, String(few.size))
  assert.ok(Math.abs(more.size - 300) < 58, String(more.size))
  assert.ok(few.isSubsetOf(more))
})
