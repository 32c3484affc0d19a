/** Versions that jobs and senders publish are loaded before their callers come to them. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import supertest from 'supertest'
import { publishVersion } from '../../../src/catalog/publish-version.ts'
import { ServiceError } from '../../../src/errors.ts'
import { Engines } from '../../../src/infer/engines.ts'
import type { EngineModel } from '../../../src/infer/messages.ts'
import { type ApiApp, apiApp, readyDataset } from '../../support/api-app.ts'
import { brightClassifier, brightLabels, brightNetwork } from '../../support/bright-classifier.ts'
import { fakeWorker } from '../../support/fake-worker.ts'
import { fixture, measured, send, torchForm } from '../../support/foreign-models.ts'
import { flatImage } from '../../support/images.ts'
import { publication } from '../../support/publication.ts'

interface Scene extends ApiApp {
  readonly engines: Watched
}

/** Notes the version that each load was of, and the one that answers callers once it is loaded. */
class Watched extends Engines {
  readonly loads: (readonly [loaded: number, answering: number])[] = []
  answering: (model: string) => Promise<number> = async () => 0
  fault: ServiceError | undefined

  override async load(model: EngineModel): Promise<void> {
    if (this.fault === undefined) await super.load(model)
    const { model: name, version } = model.serves
    this.loads.push([version, await this.answering(name)])
    if (this.fault !== undefined) throw this.fault
  }
}

async function scene(t: TestContext): Promise<Scene> {
  const engines = new Watched({ perModel: 1 })
  t.after(() => engines.close())
  const api = await apiApp(t, {}, { measureLatency: measured, engines })
  // Without this, supertest would listen anew for every request.
  await api.app.listen({ port: 0, host: '127.0.0.1' })
  engines.answering = (model) => answering(api, model)
  return { ...api, engines }
}

/** Where `production` points; 0 where there is none. */
async function answering({ app }: Pick<ApiApp, 'app'>, model: string): Promise<number> {
  const { body } = await supertest(app.server).get(`/v1/models/${model}/aliases/production`)
  return body.targets?.[0].version ?? 0
}

async function predict({ app }: Pick<ApiApp, 'app'>, model: string): Promise<number> {
  const { status, body, text } = await supertest(app.server)
    .post(`/v1/models/${model}/predictions`)
    .set('content-type', 'image/png')
    .send(Buffer.from(await flatImage(255)))
  assert.equal(status, 200, text)
  return body.version
}

async function sent(api: Scene, fields = {}): Promise<number> {
  const made = await send(api, await fixture('torch-like'), { ...torchForm, ...fields })
  assert.equal(made.status, 201, made.text)
  return made.body.version
}

test('a model made elsewhere is loaded before it takes over an alias that is asked', async (t) => {
  const api = await scene(t)
  await sent(api)
  await sent(api, { alias: 'production' })
  assert.deepEqual(api.engines.loads, [], 'nobody had asked')
  assert.equal(await predict(api, 'animals'), 2)
  await sent(api, { alias: 'canary' })
  await sent(api)
  assert.deepEqual(api.engines.loads, [], 'no caller was moved')
  await sent(api, { alias: 'production' })
  assert.deepEqual(api.engines.loads, [[5, 2]])
  assert.equal(await predict(api, 'animals'), 5)
  await supertest(api.app.server).delete('/v1/models/animals/aliases/production')
  await sent(api)
  assert.deepEqual(api.engines.loads.slice(1), [[6, 0]], 'without production, the newest answers')
})

test('a version that cannot be loaded takes over all the same, and an unloaded model stays so', async (t) => {
  const api = await scene(t)
  await sent(api)
  await predict(api, 'animals')
  api.engines.fault = new ServiceError('MODEL_NOT_READY', { detail: 'no engine is free' })
  assert.equal(await sent(api, { alias: 'production' }), 2)
  assert.deepEqual(api.engines.loads, [[2, 1]])
  assert.equal(await answering(api, 'animals'), 2)
  await supertest(api.app.server).post('/v2/repository/models/animals/unload').send({})
  await sent(api, { alias: 'production' })
  assert.equal(api.engines.loads.length, 1)
})

test('a finished job publishes what is loaded; one that was superseded has nothing loaded', async (t) => {
  const api = await scene(t)
  await readyDataset(api)
  const changes = { variants: ['baseline'], network: brightNetwork, labels: brightLabels } as const
  const { report, ...first } = publication('job_0', { ...changes, model: 'light' })
  const bytes = Buffer.from(brightClassifier({ job: 'job_0' }))
  const stored = await api.blobs.put(bytes)
  const artifacts = [{ file: 'baseline.onnx', mediaType: 'application/octet-stream', ...stored }]
  await api.db.transaction().execute((trx) => publishVersion(trx, { ...first, report, artifacts }))
  assert.equal(await predict(api, 'light'), 1)

  const spec = { dataset: 'digits', model: 'light', alias: 'production' }
  const { id } = (await supertest(api.app.server).post('/v1/jobs').send(spec)).body
  const worker = fakeWorker(api.app)
  await worker.claim(id, 1)
  const next = Buffer.from(brightClassifier({ job: 'job_1' }))
  assert.equal((await worker.put(id, 1, 'artifacts', 'baseline.onnx', next)).status, 204)
  const outcome = { kind: 'completed', report, stopReason: null } as const
  assert.equal((await worker.outcome(id, 2, outcome)).status, 409)
  assert.deepEqual(api.engines.loads, [])
  assert.deepEqual((await worker.outcome(id, 1, outcome)).body, { state: 'completed', version: 2 })
  assert.deepEqual(api.engines.loads, [[2, 1]])
  const sha256 = createHash('sha256').update(next).digest('hex')
  const [pid] = api.engines.pids(`light/2/baseline/${sha256}`)
  assert.equal(await predict(api, 'light'), 2)
  assert.deepEqual(api.engines.pids(`light/2/baseline/${sha256}`), [pid])
  assert.deepEqual((await worker.outcome(id, 1, outcome)).body, { state: 'completed', version: 2 })
  assert.equal(api.engines.loads.length, 1, 'it was told twice')
})
