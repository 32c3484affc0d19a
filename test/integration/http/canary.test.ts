/** Aliases that go back by themselves, under real traffic to real inference processes. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import type { FastifyBaseLogger } from 'fastify'
import { pino } from 'pino'
import { openCatalog } from '../../../src/catalog/open.ts'
import { publishVersion } from '../../../src/catalog/publish-version.ts'
import { ServedModels } from '../../../src/catalog/served-models.ts'
import type { Problem } from '../../../src/contract/problem.ts'
import type { AliasState } from '../../../src/contract/promotion.ts'
import type { RolledBack } from '../../../src/contract/rollback.ts'
import { exportOnnx } from '../../../src/onnx/export.ts'
import { apiApp } from '../../support/api-app.ts'
import { brightClassifier, brightNetwork } from '../../support/bright-classifier.ts'
import { temporaryFolder } from '../../support/catalog.ts'
import { flatImage } from '../../support/images.ts'
import { type ModelServer, modelServer, type OtherModel } from '../../support/model-server.ts'
import { builtNetwork, trainedWeights } from '../../support/networks.ts'
import { readMetrics } from '../../support/prometheus.ts'
import { publication } from '../../support/publication.ts'
import { readJson } from '../../support/read-json.ts'
import { until } from '../../support/until.ts'

const path = '/v1/models/light/aliases/production'
const predictions = '/v1/models/light/predictions'
const broken: OtherModel = { file: (variant) => Buffer.from(`no model at all, ${variant}`) }

const put = ({ url }: ModelServer, body: unknown) =>
  fetch(`${url}${path}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body)
  })

const state = ({ url }: ModelServer) => readJson<AliasState>(fetch(`${url}${path}`))

const halves = [
  { version: 1, share: 0.5 },
  { version: 2, share: 0.5 }
]

/** Takes turns between the targets of equal shares. */
function alternating(): () => number {
  let turn = 0
  return () => (turn++ % 2) / 2
}

interface Canary {
  readonly server: ModelServer
  readonly rolledBack: RolledBack[]
}

async function canary(
  t: Parameters<typeof modelServer>[0],
  { second, ...options }: { readonly second?: OtherModel; readonly draw?: () => number } = {}
): Promise<Canary> {
  const rolledBack: RolledBack[] = []
  const onRolledBack = (event: RolledBack) => void rolledBack.push(event)
  const server = await modelServer(t, { draw: alternating(), onRolledBack, ...options })
  await server.publish('job_1')
  await server.publish('job_2', 'light', second)
  return { server, rolledBack }
}

const predict = ({ url }: ModelServer, body: Uint8Array, query = '') =>
  fetch(`${url}${predictions}${query}`, {
    method: 'POST',
    headers: { 'content-type': 'image/png' },
    body: Uint8Array.from(body)
  })

const infer = ({ url }: ModelServer) =>
  fetch(`${url}/v2/models/light/infer`, {
    method: 'POST',
    body: JSON.stringify({
      inputs: [
        { name: 'images', datatype: 'UINT8', shape: [1, 8, 8, 1], data: Array(64).fill(255) }
      ]
    })
  })

for (const [protocol, ask] of [
  ['/v1', async (server: ModelServer) => predict(server, await flatImage(255))],
  ['/v2', infer]
] as const) {
  test(`a canary that fails is rolled back, asked by ${protocol}`, async (t) => {
    const { server, rolledBack } = await canary(t, { second: broken })
    const rollback = { maxErrorRate: 0.1, minRequests: 5 }
    assert.equal((await put(server, { targets: halves, rollback })).status, 200)
    await until(async () => {
      await (await ask(server)).arrayBuffer()
      return rolledBack.length > 0
    })
    const { targets, events, ...now } = await state(server)
    assert.deepEqual(targets, [{ version: 1, variant: 'int8', share: 1 }])
    assert.equal(now.rollback, null)
    assert.deepEqual(events, rolledBack)
    const [event] = rolledBack
    assert.equal(event?.reason, 'errors')
    assert.deepEqual([event?.canary.version, event?.stable?.version], [2, 1])
    assert.equal(event?.canary.failed, event?.canary.requests)
    assert.equal(event?.stable?.failed, 0)
    for (let i = 0; i < 4; i += 1) assert.equal((await ask(server)).status, 200)
  })
}

test('a canary that is slow is rolled back', async (t) => {
  const network = builtNetwork({ depth: 56 })
  const second: OtherModel = {
    file: (variant) =>
      exportOnnx({ network, weights: trainedWeights(network, 1), metadata: { variant } }),
    network: { architecture: 'resnet-cifar', inputSize: 32, channels: 3, resize: 'stretch' }
  }
  const { server, rolledBack } = await canary(t, { second })
  const rollback = { to: 0, maxLatencyRatio: 1.2, minRequests: 10 }
  await put(server, { targets: halves, rollback })
  const image = await flatImage(255)
  await until(async () => {
    assert.equal((await predict(server, image)).status, 200)
    return rolledBack.length > 0
  })
  const [event] = rolledBack
  assert.equal(event?.reason, 'latency')
  assert.ok((event?.canary.medianMs ?? 0) > 1.2 * (event?.stable?.medianMs ?? 0))
  assert.deepEqual((await state(server)).targets, [{ version: 1, variant: 'int8', share: 1 }])
})

test('bad images, full lines and who chooses otherwise roll nothing back', async (t) => {
  const { server, rolledBack } = await canary(t, { second: broken })
  const rollback = { maxErrorRate: 0, minRequests: 1 }
  await put(server, { targets: halves, rollback })
  const image = await flatImage(255)
  const asked = [
    ...(await Promise.all(Array.from({ length: 20 }, () => predict(server, Buffer.from('none'))))),
    await predict(server, image, '?version=2'),
    await predict(server, image, '?variant=baseline'),
    await predict(server, image, '?variant=baseline')
  ]
  assert.deepEqual(new Set(asked.map(({ status }) => status)), new Set([415, 503, 200]))
  // One that counts, so that the figures are looked at after all the others.
  await until(async () => {
    await (await predict(server, image)).arrayBuffer()
    return rolledBack.length > 0
  })
  const { canary: figures } = rolledBack[0] as RolledBack
  assert.ok(figures.requests < 20 && figures.failed === figures.requests, JSON.stringify(figures))
})

test('a change of the alias begins a new window, and is never undone by the old one', async (t) => {
  const { server, rolledBack } = await canary(t, { second: broken })
  const rollback = { maxErrorRate: 0.1, minRequests: 40 }
  await put(server, { targets: halves, rollback })
  const image = await flatImage(255)
  for (let i = 0; i < 60; i += 1) await (await predict(server, image)).arrayBuffer()
  await put(server, { targets: halves, rollback: { ...rollback, minRequests: 20 } })
  for (let i = 0; i < 30; i += 1) await (await predict(server, image)).arrayBuffer()
  const changed = await put(server, { version: 2 })
  const etag = changed.headers.get('etag')
  await until(async () => {
    await (await predict(server, image)).arrayBuffer()
    return server.engines.statistics.length > 1
  })
  assert.deepEqual(rolledBack, [])
  const now = await fetch(`${server.url}${path}`)
  assert.equal(now.headers.get('etag'), etag)
  assert.deepEqual((await readJson<AliasState>(now)).targets[0]?.version, 2)
})

test('PUT of an alias fills in what a rollback leaves open, and names what is wrong', async (t) => {
  const { server } = await canary(t)
  const targets = [
    { version: 1, share: 0.1 },
    { version: 2, share: 0.9 }
  ]
  const set = await put(server, { targets, rollback: { maxErrorRate: 0.02 } })
  const settings = { minRequests: 100, windowSeconds: 300, maxErrorRate: 0.02 }
  assert.deepEqual((await readJson<AliasState>(set)).rollback, {
    ...settings,
    to: 1,
    maxLatencyRatio: null
  })
  assert.deepEqual((await state(server)).rollback?.to, 1)
  const cases: readonly (readonly [unknown, string])[] = [
    [{ targets, rollback: {} }, '/rollback'],
    [{ targets, rollback: null }, '/rollback'],
    [{ version: 1, rollback: { maxErrorRate: 0.1 } }, '/rollback'],
    [{ targets: [{ version: 1 }], rollback: { maxErrorRate: 0.1 } }, '/rollback'],
    [{ targets, rollback: { to: 2, maxErrorRate: 0.1 } }, '/rollback/to'],
    [{ targets, rollback: { to: -1, maxErrorRate: 0.1 } }, '/rollback/to'],
    [{ targets, rollback: { to: 0.5, maxErrorRate: 0.1 } }, '/rollback/to'],
    [{ targets, rollback: { maxErrorRate: 1 } }, '/rollback/maxErrorRate'],
    [{ targets, rollback: { maxErrorRate: '0.1' } }, '/rollback/maxErrorRate'],
    [{ targets, rollback: { maxLatencyRatio: 1 } }, '/rollback/maxLatencyRatio'],
    [{ targets, rollback: { maxErrorRate: 0, minRequests: 0 } }, '/rollback/minRequests'],
    [{ targets, rollback: { maxErrorRate: 0, windowSeconds: 9 } }, '/rollback/windowSeconds'],
    [{ targets, rollback: { maxErrorRate: 0, p95: 2 } }, '/rollback/p95']
  ]
  for (const [body, pointer] of cases) {
    const refused = await put(server, body)
    const { errors } = await readJson<Problem>(refused)
    assert.deepEqual(
      [refused.status, errors?.map((fault) => fault.pointer)],
      [422, [pointer]],
      JSON.stringify(body)
    )
  }
  assert.equal((await state(server)).rollback?.to, 1)
  await put(server, { version: 2 })
  assert.equal((await state(server)).rollback, null)
})

test('a rollback is logged and counted, in the whole api', async (t) => {
  const written: string[] = []
  const logger = pino({ level: 'warn' }, { write: (line: string) => void written.push(line) })
  const folder = await temporaryFolder(t)
  const db = await openCatalog(join(folder, 'served.sqlite'))
  t.after(() => db.destroy())
  const served = new ServedModels(db, alternating())
  const api = await apiApp(t, { logger: logger as FastifyBaseLogger }, { db, served })
  for (const job of ['job_1', 'job_2']) {
    const file = await api.blobs.put(
      job === 'job_1' ? brightClassifier() : Buffer.from('no model at all')
    )
    const wanted = publication(job, { network: brightNetwork, variants: ['baseline'] })
    const mediaType = 'application/octet-stream'
    const artifacts = [{ file: 'baseline.onnx', mediaType, ...file }]
    const published = { ...wanted, model: 'light', artifacts }
    await db.transaction().execute((trx) => publishVersion(trx, published))
  }
  const rollback = { maxErrorRate: 0.1, minRequests: 5 }
  await api.app.inject({ method: 'PUT', url: path, payload: { targets: halves, rollback } })
  const payload = await flatImage(255)
  const headers = { 'content-type': 'image/png' }
  const lines = () => written.map((line) => JSON.parse(line) as Record<string, unknown>)
  await until(async () => {
    await api.app.inject({ method: 'POST', url: predictions, payload, headers })
    return lines().some(({ msg }) => msg === 'alias rolled back')
  })
  const line = lines().find(({ msg }) => msg === 'alias rolled back')
  assert.deepEqual(
    [line?.level, line?.model, line?.alias, line?.reason],
    [40, 'light', 'production', 'errors']
  )
  const { body } = await api.app.inject('/metrics')
  const counted = readMetrics(body).get('whittle_alias_rollbacks_total')?.samples
  assert.deepEqual(
    [...(counted ?? [])],
    [
      ['whittle_alias_rollbacks_total{reason="errors"}', 1],
      ['whittle_alias_rollbacks_total{reason="latency"}', 0]
    ]
  )
})
