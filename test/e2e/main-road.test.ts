import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { shapeImages } from '../support/shapes-dataset.ts'
import { type Json, startWhittle } from '../support/whittle.ts'

const recipe = {
  network: { architecture: 'simple-cnn', width: 0.5, inputSize: 16 },
  train: { epochs: 6, batchSize: 16, learningRate: 0.05 },
  prune: { macs: 0.5, roundTo: 8, epochs: 3 },
  quantize: { images: 64 }
}

test('the main road: upload, train, prune, quantize, publish, predict', async (t) => {
  const whittle = await startWhittle(t)
  const { url } = whittle

  const dataset = await whittle.uploadShapes('shapes', { seed: 1, perClass: 80 })
  assert.equal(dataset.status, 'ready')
  assert.equal(dataset.images, 240)
  assert.deepEqual(dataset.classes[0], { label: 'cross', train: 64, validation: 8, test: 8 })

  const spec = { dataset: 'shapes', model: 'shapes', seed: 3, recipe }
  const posted = await whittle.post('/v1/jobs', spec, { 'idempotency-key': 'once' })
  assert.equal(posted.status, 202)
  const again = await whittle.post('/v1/jobs', spec, { 'idempotency-key': 'once' })
  assert.equal(again.body.id, posted.body.id)
  assert.equal(posted.headers.get('location'), `/v1/jobs/${posted.body.id}`)
  const progress: number[] = []
  const job = await whittle.watch(posted.body.id, (document) => {
    progress.push(document.progress)
    return ['completed', 'failed'].includes(document.state)
  })
  assert.equal(job.state, 'completed', JSON.stringify(job.error))
  assert.deepEqual(
    progress,
    progress.toSorted((a, b) => a - b)
  )
  assert.deepEqual(job.dataset, { id: dataset.id, name: 'shapes', version: 1 })
  assert.equal(job.attempt, 1)

  const { body: metrics } = await whittle.get(`/v1/jobs/${job.id}/metrics`)
  assert.deepEqual(
    metrics.items.map((m: Json) => `${m.stage} ${m.epoch}`),
    [
      'train 1',
      'train 2',
      'train 3',
      'train 4',
      'train 5',
      'train 6',
      'prune 1',
      'prune 2',
      'prune 3'
    ]
  )
  const { body: log } = await whittle.get(`/v1/jobs/${job.id}/logs`)
  assert.match(log, /engine: .*tensorflow/)

  const { body: version } = await whittle.get('/v1/models/shapes/versions/1')
  assert.equal(version.recommended, job.result.recommended)
  assert.deepEqual(Object.keys(version.variants).toSorted(), ['baseline', 'int8', 'pruned'])
  for (const [name, variant] of Object.entries<Json>(version.variants)) {
    assert.ok(variant.accuracy.test.value > 0.85, `${name}: ${variant.accuracy.test.value}`)
    assert.ok(variant.latency.medianMs > 0 && variant.latency.runs > 0)
    assert.equal(
      variant.confusion.flat().reduce((a: number, b: number) => a + b),
      24
    )
  }
  for (const { file, bytes, sha256 } of version.artifacts) {
    const answer = await fetch(`${url}/v1/models/shapes/versions/1/artifacts/${file}`)
    const content = Buffer.from(await answer.arrayBuffer())
    assert.equal(content.length, bytes, file)
    assert.equal(createHash('sha256').update(content).digest('hex'), sha256, file)
  }

  const questions = await shapeImages(99, 20)
  let right = 0
  for (const { label, png } of questions) {
    const answer = await fetch(`${url}/v1/models/shapes/predictions`, {
      method: 'POST',
      headers: { 'content-type': 'image/png' },
      body: new Blob([new Uint8Array(png)])
    })
    const { predictions, version, variant } = (await answer.json()) as Json
    assert.equal(version, 1)
    assert.equal(variant, job.result.recommended)
    if (predictions[0].label === label) right += 1
  }
  assert.ok(right >= 51, `${right} of ${questions.length} unseen images were answered right`)

  const [{ png, label } = { png: Buffer.alloc(0), label: '' }] = questions
  for (const method of ['occlusion', 'grad-cam']) {
    const query = `label=${label}&variant=pruned&method=${method}`
    const answer = await fetch(`${url}/v1/models/shapes/explanations?${query}`, {
      method: 'POST',
      headers: { 'content-type': 'image/png' },
      body: new Blob([new Uint8Array(png)])
    })
    const { shape, matrix, raw, score } = (await answer.json()) as Json
    assert.equal(answer.status, 200)
    assert.deepEqual([matrix.length, matrix[0].length], shape)
    assert.equal(Math.max(...matrix.flat()), Math.max(...raw.flat()) > 0 ? 1 : 0, method)
    assert.ok(score > 0 && score <= 1 && raw.flat().some((value: number) => value !== 0))
  }

  // Judged again on the same images, by the same files: the same figures.
  const evaluations = '/v1/models/shapes/versions/1/evaluations'
  const evaluation = await whittle.post(evaluations, { dataset: 'shapes' })
  assert.equal(evaluation.status, 202, JSON.stringify(evaluation.body))
  const judged = await whittle.watch(evaluation.body.id, ({ state }) =>
    ['completed', 'failed'].includes(state)
  )
  assert.equal(judged.state, 'completed', JSON.stringify(judged.error))
  for (const [name, { accuracy, confusion, perClass }] of Object.entries<Json>(version.variants)) {
    const again = judged.result.report.variants[name]
    assert.deepEqual(again.accuracy, accuracy.test, name)
    assert.deepEqual([again.confusion, again.perClass], [confusion, perClass], name)
  }
  assert.equal((await whittle.get(evaluations)).body.items[0].job, judged.id)
  // What the gate compares was measured on the same images: the answers to each are in the report.
  const promoted = await whittle.post('/v1/models/shapes/aliases/production/promote', {
    version: 1,
    variant: 'pruned',
    gate: { maxAccuracyDrop: 1, maxLatencyRatio: 1000 }
  })
  assert.equal(promoted.status, 200, JSON.stringify(promoted.body))
  const [drop, latency] = promoted.body.compared
  assert.match(drop.detail, /paired on 24 images of validation/)
  const validation = (name: string) => version.variants[name].accuracy.validation.value
  const expected = validation(job.result.recommended) - validation('pruned')
  assert.ok(Math.abs(drop.measured - expected) < 1e-9, `${drop.measured}, not ${expected}`)
  assert.ok(latency.measured > 0)

  assert.equal((await whittle.get('/health/ready')).status, 200)
  assert.equal(await whittle.stop(), 0)
})

test('a job posted while its dataset is imported waits for it, and cancel gives it up', async (t) => {
  const whittle = await startWhittle(t)
  const uploading = whittle.uploadShapes('shapes', { seed: 2, perClass: 60 })
  let posted = await whittle.post('/v1/jobs', { dataset: 'shapes', model: 'shapes' })
  while (posted.status === 422) {
    posted = await whittle.post('/v1/jobs', {
      dataset: 'shapes',
      model: 'shapes',
      recipe: { ...recipe, train: { ...recipe.train, epochs: 5000 } }
    })
  }
  assert.equal(posted.status, 202)
  await uploading
  await whittle.watch(posted.body.id, ({ stage }) => stage === 'train')
  const { status } = await whittle.post(`/v1/jobs/${posted.body.id}/cancel`, {})
  assert.equal(status, 202)
  const job = await whittle.watch(posted.body.id, ({ state }) => state === 'cancelled')
  assert.equal(job.result, null)
  assert.equal((await whittle.get('/v1/models/shapes')).status, 404)
})
