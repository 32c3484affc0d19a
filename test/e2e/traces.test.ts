/** A whole whittle that sends its traces to a collector: from a request to the work that it caused. */
import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { type CollectedSpan, startCollector, tracedTo } from '../support/collector.ts'
import { flatImage } from '../support/images.ts'
import { until } from '../support/until.ts'
import { webhookReceiver } from '../support/webhook-receiver.ts'
import { startWhittle, type Whittle } from '../support/whittle.ts'

const recipe = {
  network: { architecture: 'simple-cnn', width: 0.5, inputSize: 16 },
  train: { epochs: 2, batchSize: 16, learningRate: 0.05 },
  quantize: { images: 16 }
}
const stages = ['prepare', 'train', 'quantize', 'evaluate', 'publish']

async function trained(whittle: Whittle, headers: Record<string, string>, webhook: object) {
  await whittle.uploadShapes('shapes', { seed: 1, perClass: 20 })
  const spec = { dataset: 'shapes', model: 'shapes', seed: 3, recipe, webhook }
  const posted = await whittle.post('/v1/jobs', spec, headers)
  assert.equal(posted.status, 202, JSON.stringify(posted.body))
  const ended = (document: { state: string }) => ['completed', 'failed'].includes(document.state)
  const job = await whittle.watch(posted.body.id, ended)
  assert.equal(job.state, 'completed', JSON.stringify(job.error))
  return job
}

const predict = async ({ url }: Whittle, headers: Record<string, string> = {}) =>
  fetch(`${url}/v1/models/shapes/predictions?sticky=in-the-query`, {
    method: 'POST',
    headers: { 'content-type': 'image/png', ...headers },
    body: Uint8Array.from(await flatImage(99))
  })

const traceId = '0af7651916cd43dd8448eb211c80319c'
const traceparent = `00-${traceId}-b7ad6b7169203331-01`

test('a job is one trace, from the request through the queue to the stages and the webhook', async (t) => {
  const collector = await startCollector(t)
  const receiver = await webhookReceiver(t)
  const settings = { ...tracedTo(collector.url), WHITTLE_WEBHOOK_TARGETS: 'any' }
  const whittle = await startWhittle(t, undefined, {
    ...settings,
    OTEL_EXPORTER_OTLP_HEADERS: 'x-tenant=ours',
    OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test'
  })
  const job = await trained(whittle, { traceparent }, { url: receiver.url })
  const ours = () => collector.spans.filter((span) => span.traceId === traceId)
  const named = (name: string) => ours().filter((span) => span.name === name)
  const only = (name: string): CollectedSpan => {
    const [span, ...others] = named(name)
    assert.ok(span !== undefined && others.length === 0, `${name}: ${others.length + 1}`)
    return span
  }
  await until(() => ['attempt', 'deliver webhook'].every((name) => named(name).length > 0))

  const root = only('POST /v1/jobs')
  assert.equal(root.parentSpanId, 'b7ad6b7169203331')
  assert.deepEqual([root.service, root.kind], ['whittle-api', 2])
  assert.equal(root.attributes['http.response.status_code'], 202)
  const dispatch = only('dispatch job')
  assert.deepEqual([dispatch.parentSpanId, dispatch.kind], [root.spanId, 4])
  const attempt = only('attempt')
  assert.deepEqual([attempt.parentSpanId, attempt.kind], [root.spanId, 5])
  assert.equal(attempt.service, 'whittle-worker')
  assert.equal(attempt.attributes['whittle.job'], job.id)
  assert.equal(attempt.attributes['whittle.outcome'], 'completed')
  assert.equal(only('fetch').parentSpanId, attempt.spanId)
  let before = attempt.start
  for (const stage of stages) {
    const span = only(`stage ${stage}`)
    assert.equal(span.parentSpanId, attempt.spanId, stage)
    assert.ok(before <= span.start && span.start <= span.end && span.end <= attempt.end, stage)
    before = span.end
  }
  // What the worker asks of the api while it is at it.
  const outcome = only('POST /internal/v1/jobs/:id/outcome')
  assert.deepEqual([outcome.service, outcome.parentSpanId], ['whittle-api', attempt.spanId])
  assert.deepEqual(named('POST /internal/v1/jobs/:id/heartbeat'), [])
  const webhook = only('deliver webhook')
  assert.deepEqual([webhook.parentSpanId, webhook.kind], [root.spanId, 3])
  assert.equal(webhook.attributes['http.response.status_code'], 200)
  assert.equal(receiver.received[0]?.headers.traceparent, undefined)

  const answer = await predict(whittle)
  assert.equal(answer.status, 200)
  const predictions = 'POST /v1/models/:name/predictions'
  await until(() => collector.spans.some(({ name }) => name === predictions))
  const request = collector.spans.find(({ name }) => name === predictions) as CollectedSpan
  const child = (name: string, parent: CollectedSpan): CollectedSpan => {
    const span = collector.spans.find(
      (one) => one.name === name && one.parentSpanId === parent.spanId
    )
    assert.ok(span !== undefined && span.traceId === request.traceId, name)
    assert.ok(parent.start <= span.start && span.start <= span.end, name)
    return span
  }
  assert.notEqual(request.traceId, traceId)
  const asked = child('ask model', request)
  assert.deepEqual(
    [asked.attributes['whittle.model'], asked.attributes['whittle.version']],
    ['shapes', 1]
  )
  child('queue', asked)
  const batch = child('batch', asked)
  for (const step of ['decode', 'inference', 'output']) child(step, batch)
  assert.ok(batch.end <= request.end)

  const told = JSON.stringify(collector.spans, (_, value) =>
    typeof value === 'bigint' ? `${value}` : value
  )
  assert.doesNotMatch(told, /in-the-query|token=hidden/)
  assert.equal(collector.headers()['x-tenant'], 'ours')
  const lines = whittle
    .output()
    .split('\n')
    .filter((line) => line.includes(traceId))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  assert.ok(lines.some(({ audit, route }) => audit === true && route === '/v1/jobs'))
  assert.ok(lines.some(({ role, jobId }) => role === 'worker' && jobId === job.id))
})

test('a collector that is gone, or hangs, disturbs nothing', async (t) => {
  const hanging = createServer(() => {})
  await new Promise<void>((resolve) => hanging.listen(0, '127.0.0.1', resolve))
  t.after(() => hanging.close())
  const { port } = hanging.address() as { port: number }
  for (const url of ['http://127.0.0.1:1', `http://127.0.0.1:${port}`]) {
    const whittle = await startWhittle(t, undefined, tracedTo(url))
    assert.equal((await whittle.get('/v1/models')).status, 200)
    for (let i = 0; i < 20; i += 1) assert.equal((await predict(whittle)).status, 404)
    assert.equal(await whittle.stop(), 0)
  }
})
