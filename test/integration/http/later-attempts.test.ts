/** What a later attempt is handed of the earlier ones, so that it repeats and sends nothing twice. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { rm, truncate } from 'node:fs/promises'
import { type TestContext, test } from 'node:test'
import supertest from 'supertest'
import { apiApp, readyDataset } from '../../support/api-app.ts'
import { fakeWorker } from '../../support/fake-worker.ts'

const environment = { engine: 'tensorflow', version: '2.21.0', cpu: 'x', threads: 3 }
const decision = { stage: 'train', reason: 'limit', updates: 40 } as const

async function postedJob(t: TestContext) {
  const api = await apiApp(t)
  await readyDataset(api)
  const spec = { dataset: 'digits', model: 'digits' }
  const { body } = await supertest(api.app.server).post('/v1/jobs').send(spec)
  return { api, id: body.id as string }
}

test('a claim is answered with the first environment, the decisions, and what the api has', async (t) => {
  const { api, id } = await postedJob(t)
  const shown = async () => (await supertest(api.app.server).get(`/v1/jobs/${id}`)).body
  assert.equal((await shown()).bitExact, null)

  const worker = fakeWorker(api.app)
  const first = await worker.claim(id, 1)
  assert.deepEqual([first.environment, first.decisions, first.artifacts], [null, [], []])
  await worker.event(id, 1, { type: 'environment', environment }).expect(204)
  await worker.event(id, 1, { type: 'decision', decision }).expect(204)
  const bytes = Buffer.from('onnx')
  await worker.put(id, 1, 'artifacts', 'baseline.onnx', bytes).expect(204)
  await worker.outcome(id, 1, { kind: 'released' }).expect(200)
  assert.equal((await shown()).bitExact, true)

  const second = await worker.claim(id, 2)
  assert.deepEqual(second.environment, environment)
  assert.deepEqual(second.decisions, [decision])
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  assert.deepEqual(second.artifacts, [{ name: 'baseline.onnx', sha256 }])
  const elsewhere = { ...environment, engine: 'wasm' }
  await worker.event(id, 2, { type: 'environment', environment: elsewhere }).expect(204)
  assert.equal((await shown()).bitExact, false)
})

for (const [how, damage] of [
  ['cut short', (file: string) => truncate(file, 3)],
  ['gone', (file: string) => rm(file)]
] as const) {
  test(`a checkpoint whose bytes are ${how} is called damaged, and is the first to go`, async (t) => {
    const { api, id } = await postedJob(t)
    const worker = fakeWorker(api.app)
    await worker.claim(id, 1)
    for (const name of ['c1', 'c2']) {
      await worker.put(id, 1, 'checkpoints', name, Buffer.from(`bytes of ${name}`)).expect(204)
    }
    const { checkpoints } = await worker.claim(id, 1)
    await damage(api.blobs.path(checkpoints[0]?.sha256 ?? ''))
    const again = await worker.claim(id, 1)
    assert.deepEqual(again.checkpoints, checkpoints)

    const refused = await worker.get(id, again.attempt, 'c2').expect(422)
    const { code, detail } = JSON.parse(refused.body)
    assert.equal(code, 'CHECKPOINT_DAMAGED')
    assert.match(detail, /^Cannot read c2: expected 11 bytes, received (3|no file)$/)
    assert.equal((await worker.get(id, again.attempt, 'c1')).body.toString(), 'bytes of c1')

    await worker
      .put(id, again.attempt, 'checkpoints', 'c3', Buffer.from('bytes of c3'))
      .set('whittle-damaged', 'c2')
      .expect(204)
    const last = await worker.claim(id, 1)
    assert.deepEqual(
      last.checkpoints.map(({ name }) => name),
      ['c3', 'c1']
    )
  })
}
