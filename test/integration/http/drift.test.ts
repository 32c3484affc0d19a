import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { sql } from 'kysely'
import Value from 'typebox/value'
import { openCatalog } from '../../../src/catalog/open.ts'
import { publishVersion } from '../../../src/catalog/publish-version.ts'
import { DriftReport } from '../../../src/contract/drift.ts'
import type { Sketch } from '../../../src/contract/sketch.ts'
import { addImage, emptySketch } from '../../../src/drift/sketch.ts'
import { Drift } from '../../../src/service/drift.ts'
import { apiApp, quiet } from '../../support/api-app.ts'
import { brightLabels, brightNetwork } from '../../support/bright-classifier.ts'
import { temporaryFolder } from '../../support/catalog.ts'
import { flatImage } from '../../support/images.ts'
import { type ModelServer, modelServer } from '../../support/model-server.ts'
import { publication } from '../../support/publication.ts'
import { readJson } from '../../support/read-json.ts'

/** Half dark, half bright, as flat images of `flatImage(0)` and `flatImage(255)` are answered. */
function halves(images: number): Sketch {
  const sketch = emptySketch(2, 1)
  for (let i = 0; i < images; i += 1) {
    const predicted = i % 2
    addImage(sketch, {
      predicted,
      score: 1,
      brightness: 255 * predicted,
      contrast: 0,
      channels: []
    })
  }
  return sketch
}

async function predict({ url }: ModelServer, values: readonly number[]): Promise<void> {
  const images = new Map([...new Set(values)].map((value) => [value, flatImage(value)]))
  for (let at = 0; at < values.length; at += 50) {
    const form = new FormData()
    for (const value of values.slice(at, at + 50)) {
      form.append('image', new Blob([Uint8Array.from((await images.get(value)) ?? [])]), 'x.png')
    }
    const answer = await fetch(`${url}/v1/models/light/predictions`, { method: 'POST', body: form })
    assert.equal(answer.status, 200)
    await answer.body?.cancel()
  }
}

/** Tensors of flat images, over the Open Inference Protocol. */
async function infer({ url }: ModelServer, values: readonly number[]): Promise<void> {
  for (let at = 0; at < values.length; at += 50) {
    const batch = values.slice(at, at + 50)
    const inputs = [
      {
        name: 'images',
        datatype: 'UINT8',
        shape: [batch.length, 8, 8, 1],
        data: batch.flatMap((value) => new Array(64).fill(value))
      }
    ]
    const body = JSON.stringify({ inputs })
    const answer = await fetch(`${url}/v2/models/light/infer`, { method: 'POST', body })
    assert.equal(answer.status, 200)
    await answer.body?.cancel()
  }
}

const report = async ({ url }: ModelServer, model = 'light'): Promise<DriftReport> => {
  const drift = await readJson<DriftReport>(fetch(`${url}/v1/models/${model}/drift`))
  assert.ok(Value.Check(DriftReport, drift), JSON.stringify(drift))
  return drift
}

const alternating = (n: number): number[] => Array.from({ length: n }, (_, i) => (i % 2) * 255)

test('GET drift tells of a model that was not asked, and of none that is not there', async (t) => {
  const server = await modelServer(t)
  await server.publish('job_1')
  assert.deepEqual(await report(server), {
    model: 'light',
    status: 'insufficient',
    window: 400,
    variants: [],
    events: []
  })
  const missing = await fetch(`${server.url}/v1/models/nobody/drift`)
  assert.equal(missing.status, 404)
  assert.equal((await readJson<{ code: string }>(missing)).code, 'MODEL_NOT_FOUND')
})

test('images like those of the validation split are stable; others trip, and clear again', async (t) => {
  const server = await modelServer(t, { places: 1000 })
  await server.publish('job_1', 'light', { reference: halves(400) })
  await predict(server, alternating(100))
  const early = await report(server)
  assert.equal(early.status, 'insufficient')
  assert.deepEqual(early.variants[0]?.reference, {
    source: 'training',
    images: 400,
    complete: true
  })
  // Both protocols count.
  await infer(server, alternating(200))
  const stable = await report(server)
  assert.equal(stable.status, 'stable')
  const [variant] = stable.variants
  assert.deepEqual([variant?.version, variant?.variant, variant?.served], [1, 'int8', 300])
  assert.deepEqual(Object.keys(variant?.aspects ?? {}), [
    'classes',
    'confidence',
    'brightness',
    'contrast'
  ])
  for (const [name, { score, threshold, cells }] of Object.entries(variant?.aspects ?? {})) {
    assert.ok(score < 0.05 && threshold >= 0.2, `${name} ${score} ${threshold}`)
    assert.ok(cells.length > 0)
  }
  await infer(server, new Array(400).fill(255))
  const drifting = await report(server)
  assert.equal(drifting.status, 'drifting')
  const tripped = drifting.events.filter(({ event }) => event === 'tripped')
  assert.deepEqual(tripped.map(({ aspect }) => aspect).sort(), ['brightness', 'classes'])
  const [event] = tripped
  assert.ok((event?.score ?? 0) > (event?.threshold ?? 0))
  assert.equal(drifting.variants[0]?.aspects.classes?.driftingSince, tripped[0]?.at)
  assert.equal(server.drift.trips.get('classes'), 1)
  // Refused images count for nothing.
  const { served } = drifting.variants[0] ?? {}
  const bad = { method: 'POST', headers: { 'content-type': 'image/png' }, body: 'no image' }
  await (await fetch(`${server.url}/v1/models/light/predictions`, bad)).body?.cancel()
  assert.equal((await report(server)).variants[0]?.served, served)
  await infer(server, alternating(600))
  const back = await report(server)
  assert.equal(back.status, 'stable')
  assert.deepEqual(back.events.map(({ event }) => event).sort(), [
    'cleared',
    'cleared',
    'tripped',
    'tripped'
  ])
})

test('a version without a sketch is compared with the first images that it was asked', async (t) => {
  const server = await modelServer(t, { places: 1000 })
  await server.publish('job_1')
  await infer(server, new Array(600).fill(255))
  const [early] = (await report(server)).variants
  assert.deepEqual(early?.reference, { source: 'first-served', images: 600, complete: false })
  assert.equal(early?.status, 'insufficient')
  await infer(server, new Array(800).fill(255))
  assert.equal((await report(server)).status, 'stable')
  await infer(server, new Array(400).fill(0))
  const { status, variants } = await report(server)
  assert.equal(status, 'drifting')
  assert.deepEqual(variants[0]?.reference, { source: 'first-served', images: 1000, complete: true })
})

test('what was counted outlives a restart, and goes with the version', async (t) => {
  const folder = await temporaryFolder(t)
  const file = join(folder, 'catalog.sqlite')
  const asked = { key: 'light', serves: { model: 'light', version: 1, variant: 'int8' } }
  const bright = {
    predicted: 1,
    score: 1,
    brightness: 255,
    contrast: 0,
    channels: [],
    sha256: null
  }
  const first = await openCatalog(file)
  const wanted = publication('job_1', { network: brightNetwork, labels: brightLabels })
  wanted.report.variants.int8 = {
    ...(wanted.report.variants.int8 ?? assert.fail()),
    reference: halves(400)
  }
  await publishVersion(first, { ...wanted, model: 'light' })
  const before = new Drift({ db: first, window: 1000, log: quiet() })
  before.observe(asked, new Array(150).fill(bright))
  await before.store()
  await first.destroy()

  const second = await openCatalog(file)
  t.after(() => second.destroy())
  const told: unknown[] = []
  const log = { ...quiet(), warn: (about: object) => told.push(about) }
  const after = new Drift({ db: second, window: 1000, log })
  after.observe(asked, new Array(150).fill(bright))
  const { status, variants, events } = await after.report('light')
  assert.deepEqual([status, variants[0]?.served, variants[0]?.images], ['drifting', 300, 300])
  assert.deepEqual(events.map(({ aspect }) => aspect).sort(), ['brightness', 'classes'])
  assert.equal(told.length, 2)
  assert.equal(await after.drifting(), 1)
  // Stored again, nothing is told twice.
  assert.equal((await after.report('light')).events.length, 2)
  await second.deleteFrom('model_versions').execute()
  after.observe(asked, [bright])
  await after.store()
  assert.equal(await after.drifting(), 0)
  assert.deepEqual((await after.report('light')).variants, [])
})

test('events of a store that failed are stored the next time', async (t) => {
  const server = await modelServer(t, { places: 1000 })
  await server.publish('job_1', 'light', { reference: halves(400) })
  await sql`create trigger full before insert on drift_watches
    begin select raise(abort, 'no room'); end`.execute(server.db)
  await infer(server, new Array(400).fill(0))
  await assert.rejects(server.drift.store(), /no room/)
  // What can be read is told all the same.
  assert.deepEqual((await report(server)).variants, [])
  await sql`drop trigger full`.execute(server.db)
  const { events } = await report(server)
  assert.deepEqual(events.map(({ aspect }) => aspect).sort(), ['brightness', 'classes'])
})

test('a watch that could not be read is read the next time, with what was seen meanwhile', async (t) => {
  const server = await modelServer(t, { places: 1000 })
  await server.publish('job_1', 'light', { reference: halves(400) })
  await server.db.schema.alterTable('drift_watches').renameTo('elsewhere').execute()
  await infer(server, alternating(250))
  await server.drift.store()
  await server.db.schema.alterTable('elsewhere').renameTo('drift_watches').execute()
  const { status, variants } = await report(server)
  assert.deepEqual([status, variants[0]?.served], ['stable', 250])
})

test('answers that are not numbers are counted, and break nothing', async (t) => {
  const server = await modelServer(t)
  await server.publish('job_1', 'light', { reference: halves(400) })
  const odd = { brightness: 1, contrast: 1, channels: [], sha256: null }
  const asked = { key: 'k', serves: { model: 'light', version: 1, variant: 'int8' } }
  server.drift.observe(asked, [
    { ...odd, predicted: 0, score: Number.NaN },
    { ...odd, predicted: 99, score: Number.POSITIVE_INFINITY },
    { ...odd, predicted: 0, score: -1, brightness: Number.NaN }
  ])
  assert.equal((await report(server)).variants[0]?.images, 3)
})

test('GET /metrics tells of trips and of variants that drift', async (t) => {
  const { app } = await apiApp(t)
  const { body } = await app.inject('/metrics')
  assert.match(body, /^whittle_drift_trips_total\{aspect="classes"\} 0$/m)
  assert.match(body, /^whittle_drifting_variants 0$/m)
})
