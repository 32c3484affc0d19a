import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import type { FastifyBaseLogger } from 'fastify'
import { pino } from 'pino'
import supertest from 'supertest'
import type { AppDeps } from '../../../src/http/app.ts'
import { apiApp, readyDataset, workerToken } from '../../support/api-app.ts'
import { fakeWorker } from '../../support/fake-worker.ts'
import { until } from '../../support/until.ts'

interface Line {
  readonly level: number
  readonly code?: string
  readonly detail?: string
}

/** An api with a job that is running, and a connection to it that sends a call of the job's worker. */
async function called(t: TestContext, call: readonly string[], changes: Partial<AppDeps> = {}) {
  const lines: Line[] = []
  const log = pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) })
  const api = await apiApp(t, { logger: log as FastifyBaseLogger }, changes)
  await readyDataset(api)
  const spec = { dataset: 'digits', model: 'digits' }
  const { id } = (await supertest(api.app.server).post('/v1/jobs').send(spec)).body
  const worker = fakeWorker(api.app)
  await worker.claim(id, 1)
  await worker.put(id, 1, 'artifacts', 'baseline.onnx', Buffer.from('a network'))
  const { port } = new URL(await api.app.listen({ port: 0, host: '127.0.0.1' }))
  const socket = connect(Number(port), '127.0.0.1')
  const head = [
    'HTTP/1.1',
    'Host: 127.0.0.1',
    `Authorization: Bearer ${workerToken}`,
    'Whittle-Attempt: 1'
  ]
  const [line = '', ...rest] = call.map((text) => text.replace('{job}', id))
  socket.write([`${line} ${head.join('\r\n')}`, ...rest].join('\r\n'))
  return { lines, socket }
}

/** What the log says of the request once its caller has gone. */
async function saidAfter(socket: Socket, lines: readonly Line[]): Promise<Line | undefined> {
  socket.destroy()
  const refusal = () => lines.find(({ code }) => code !== undefined)
  await until(() => refusal() !== undefined)
  return refusal()
}

test('a worker killed in the middle of an upload is no error of the api', async (t) => {
  const { lines, socket } = await called(t, [
    'PUT /internal/v1/jobs/{job}/checkpoints/checkpoint-000001.safetensors',
    'Content-Type: application/octet-stream',
    `Content-SHA256: ${'0'.repeat(64)}`,
    'Content-Length: 100000',
    '',
    'the first bytes'
  ])
  await until(() => !socket.pending && socket.writableLength === 0)
  const said = await saidAfter(socket, lines)
  assert.deepEqual([said?.level, said?.code], [30, 'REQUEST_MALFORMED'])
  assert.match(said?.detail ?? '', /the caller hung up/)
})

test('a worker killed while it waits for a measurement is no error of the api', async (t) => {
  let isMeasuring = false
  const body = JSON.stringify({
    variants: [{ variant: 'baseline', file: 'baseline.onnx' }],
    batch: 1,
    threads: 1,
    runs: 10
  })
  const call = [
    'POST /internal/v1/jobs/{job}/latency',
    'Content-Type: application/json',
    `Content-Length: ${body.length}`,
    '',
    body
  ]
  const { lines, socket } = await called(t, call, {
    measureLatency: ({ signal }) =>
      new Promise((_resolve, reject) => {
        isMeasuring = true
        signal?.addEventListener('abort', () => reject(signal.reason))
      })
  })
  await until(() => isMeasuring)
  const said = await saidAfter(socket, lines)
  assert.deepEqual([said?.level, said?.code], [30, 'REQUEST_MALFORMED'])
  assert.match(said?.detail ?? '', /the caller hung up/)
})
