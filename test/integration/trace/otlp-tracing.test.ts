/** Spans through the real packages to a collector: parents, links, times, sampling. */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import { otlpTracing } from '../../../src/trace/otlp-tracing.ts'
import { readTraceSettings, type TraceSettings } from '../../../src/trace/settings.ts'
import type { Tracing } from '../../../src/trace/tracing.ts'
import { type Collector, startCollector, tracedTo } from '../../support/collector.ts'
import { flatImage } from '../../support/images.ts'
import { type ModelServer, modelServer } from '../../support/model-server.ts'
import { until } from '../../support/until.ts'

interface Traced {
  readonly collector: Collector
  readonly tracing: Tracing
  readonly errors: Error[]
}

async function traced(t: TestContext, settings: Record<string, string> = {}): Promise<Traced> {
  const collector = await startCollector(t)
  const env = { ...tracedTo(collector.url), ...settings }
  // The packages read where to from the environment themselves.
  const before = { ...process.env }
  Object.assign(process.env, env)
  t.after(() => {
    for (const name of Object.keys(env)) delete process.env[name]
    Object.assign(process.env, before)
  })
  const errors: Error[] = []
  const tracing = await otlpTracing({
    settings: readTraceSettings(env).settings as TraceSettings,
    service: 'whittle-test',
    version: '0',
    onError: (error) => errors.push(error)
  })
  t.after(() => tracing.close())
  return { collector, tracing, errors }
}

const far = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'

test('a span tells its parent, links, times, attributes and failure', async (t) => {
  const { collector, tracing } = await traced(t, { OTEL_SERVICE_NAME: 'named' })
  const now = performance.now()
  const parent = { traceparent: far, tracestate: 'vendor=1' }
  const outer = tracing.start('outer', { kind: 'server', parent, since: now - 2000 })
  assert.equal(outer.context?.tracestate, 'vendor=1')
  const other = tracing.start('other')
  assert.ok(other.context)
  const inner = tracing.start('inner', { parent: outer.context, links: [other.context] })
  inner.set({ 'whittle.n': 3, 'whittle.none': undefined })
  inner.fail('broken', 'in the middle')
  inner.end(now - 500)
  other.end()
  outer.end(now - 1000)
  await tracing.close()
  const find = (name: string) => collector.spans.find((span) => span.name === name)
  const [a, b, c] = [find('outer'), find('inner'), find('other')]
  assert.deepEqual(
    [a?.service, a?.kind, a?.parentSpanId, a?.traceId],
    ['named', 2, 'b7ad6b7169203331', '0af7651916cd43dd8448eb211c80319c']
  )
  assert.deepEqual([b?.parentSpanId, b?.links, b?.failed], [a?.spanId, [c?.spanId], true])
  assert.deepEqual(b?.attributes, { 'whittle.n': 3, 'error.type': 'broken' })
  assert.deepEqual([c?.parentSpanId, c?.failed], ['', false])
  const lasted = Number((a?.end ?? 0n) - (a?.start ?? 0n)) / 1e6
  assert.ok(Math.abs(lasted - 1000) < 50, `${lasted} ms`)
  assert.ok(Math.abs(Number(a?.end ?? 0n) / 1e6 - Date.now()) < 600_000)
})

test('a parent that makes no sense begins a new trace', async (t) => {
  const { tracing } = await traced(t)
  const parents = [
    '',
    'x',
    '00-0-0-01',
    `${far}-more`,
    `ff${far.slice(2)}`,
    far.replace(/[0-9a-f]{32}/, '0'.repeat(32))
  ]
  for (const traceparent of parents) {
    const { traceId, context } = tracing.start('first', { parent: { traceparent } })
    assert.match(traceId ?? '', /^[0-9a-f]{32}$/, traceparent)
    assert.ok(!far.includes(traceId ?? ''), traceparent)
    assert.match(context?.traceparent ?? '', /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/)
  }
})

test('what is not sampled is not sent, but the decision is handed on', async (t) => {
  const { collector, tracing } = await traced(t, {
    OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
    OTEL_TRACES_SAMPLER_ARG: '0'
  })
  const first = tracing.start('first')
  assert.match(first.context?.traceparent ?? '', /-00$/)
  tracing.start('second', { parent: first.context }).end()
  first.end()
  tracing.start('sampled by the caller', { parent: { traceparent: far } }).end()
  await tracing.close()
  assert.deepEqual(
    collector.spans.map(({ name }) => name),
    ['sampled by the caller']
  )
})

test('spans are sent in protobuf unless JSON is asked for', async (t) => {
  const { collector, tracing } = await traced(t, { OTEL_EXPORTER_OTLP_PROTOCOL: '' })
  tracing.start('in protobuf').end()
  await tracing.close()
  assert.deepEqual(collector.spans, [])
  assert.ok(collector.raw.some((body) => body.includes('in protobuf')))
  const { path, 'content-type': type } = collector.headers()
  assert.deepEqual([path, type], ['/v1/traces', 'application/x-protobuf'])
})

test('a collector that is away costs spans, and says so', async (t) => {
  const { tracing, errors } = await traced(t, {
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1',
    OTEL_BSP_MAX_QUEUE_SIZE: '10',
    OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '5'
  })
  for (let i = 0; i < 1000; i += 1) tracing.start('lost').end()
  await tracing.close()
  await until(() => errors.length > 0)
})

const predict = ({ url }: ModelServer, body: Uint8Array, traceparent: string) =>
  fetch(`${url}/v1/models/light/predictions`, {
    method: 'POST',
    headers: { 'content-type': 'image/png', traceparent },
    body: Uint8Array.from(body)
  })

test('requests that share a batch have a span of it each, linked to the others', async (t) => {
  const { collector, tracing } = await traced(t)
  const server = await modelServer(t, { tracing, maxDelayMs: 300 })
  await server.publish('job_1')
  const image = await flatImage(255)
  const parents = [1, 2, 3].map((n) => far.replace('0af7', `0af${n}`))
  // The first one loads the model.
  assert.equal((await predict(server, image, far)).status, 200)
  const answers = await Promise.all(parents.map((parent) => predict(server, image, parent)))
  assert.ok(answers.every(({ status }) => status === 200))
  await until(() => collector.spans.filter(({ name }) => name === 'batch').length === 4)
  await until(() => collector.spans.filter(({ name }) => name === 'ask model').length === 4)
  const traces = parents.map((parent) => parent.slice(3, 35))
  const of = (name: string, trace: string | undefined) =>
    collector.spans.find((span) => span.name === name && span.traceId === trace)
  const batches = traces.map((trace) => of('batch', trace))
  const askers = traces.map((trace) => of('ask model', trace)?.spanId)
  for (const [i, batch] of batches.entries()) {
    assert.equal(batch?.parentSpanId, askers[i])
    assert.equal(batch?.attributes['whittle.batch.images'], 3)
    assert.deepEqual([...(batch?.links ?? [])].sort(), askers.filter((_, j) => j !== i).sort())
  }
})

test('a request tells how it was answered, and when nobody was there to hear it', async (t) => {
  const { collector, tracing } = await traced(t)
  const server = await modelServer(t, { tracing })
  const image = await flatImage(255)
  assert.equal((await predict(server, image, far)).status, 404)
  assert.equal((await fetch(`${server.url}/nowhere?secret=1`)).status, 404)
  const socket = connect(server.port, '127.0.0.1')
  const head = 'POST /v1/models/light/predictions HTTP/1.1\r\nhost: x\r\ncontent-type: image/png'
  await server.publish('job_1')
  socket.write(`${head}\r\ncontent-length: 5000\r\n\r\nhalf`)
  await until(() => server.engines.status.ready)
  socket.destroy()
  await until(() => collector.spans.length >= 3)
  const told = collector.spans.map(({ name, failed, attributes }) => [
    name,
    attributes['http.response.status_code'],
    failed,
    attributes['url.path']
  ])
  const url = '/v1/models/light/predictions'
  const route = 'POST /v1/models/:name/predictions'
  assert.deepEqual(told.slice(0, 2), [
    [route, 404, false, url],
    ['GET', 404, false, '/nowhere']
  ])
  const [brokenOff] = collector.spans.slice(2)
  assert.deepEqual(
    [brokenOff?.name, brokenOff?.failed, brokenOff?.attributes['error.type']],
    [route, true, 'broken_off']
  )
})
