/** Speaks the worker's side of `/internal/v1`, and does no work. */
import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import supertest from 'supertest'
import type {
  JobEvent,
  ManifestHeader,
  ManifestImage,
  Outcome,
  WorkerOrders,
  WorkerStatus
} from '../../src/contract/internal.ts'
import type { Assignment, Metric } from '../../src/contract/job.ts'
import { workerToken } from './api-app.ts'

type Dataset = Assignment['dataset']

const startedAt = '2026-01-01T00:00:00Z'

export function fakeWorker(app: FastifyInstance, name = 'host-1') {
  const call = (method: 'get' | 'post' | 'put' | 'delete', path: string, attempt?: number) => {
    const request = supertest(app.server)[method](`/internal/v1/${path}`)
    request.set('authorization', `Bearer ${workerToken}`)
    return attempt === undefined ? request : request.set('whittle-attempt', String(attempt))
  }
  let batches = 0
  return {
    /** The answer: what the worker shall do. */
    async announce(status: Partial<WorkerStatus> = {}): Promise<WorkerOrders> {
      const engine = { name: 'tensorflow', version: '2', reason: 'because', threads: 2 }
      const idle = { engine, slots: 1, busy: 0, draining: false, startedAt }
      const answer = await call('put', `workers/${encodeURIComponent(name)}`).send({
        ...idle,
        ...status
      })
      if (answer.status !== 200) throw new Error(JSON.stringify(answer.body))
      return answer.body
    },
    async sayGoodbye(): Promise<void> {
      await call('delete', `workers/${encodeURIComponent(name)}`).expect(204)
    },
    async claim(id: string, dispatch: number): Promise<Assignment> {
      const answer = await call('post', `jobs/${id}/attempts`).send({ dispatch, worker: name })
      return answer.body
    },
    async manifest({ id, version }: Dataset): Promise<{
      readonly header: ManifestHeader
      readonly images: readonly ManifestImage[]
    }> {
      const path = `datasets/${id}/versions/${version}`
      const bytes: Buffer = (await call('get', path).buffer(true).parse(binary)).body
      const [header, ...images] = bytes
        .toString()
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line))
      return { header, images }
    },
    images: async ({ id, version }: Dataset): Promise<Buffer> =>
      (await call('get', `datasets/${id}/versions/${version}/images`).buffer(true).parse(binary))
        .body,
    beat: (id: string, attempt: number, progress: number) =>
      call('post', `jobs/${id}/heartbeat`, attempt).send({ progress }),
    /** @param n of the batch; a new one unless an earlier one is to come again */
    event: (id: string, attempt: number, event: JobEvent, n = ++batches) =>
      call('post', `jobs/${id}/events`, attempt).send({ n, events: [event] }),
    put(
      id: string,
      attempt: number,
      folder: 'checkpoints' | 'artifacts',
      file: string,
      bytes: Buffer,
      { sha256 = createHash('sha256').update(bytes).digest('hex') } = {}
    ) {
      return call('put', `jobs/${id}/${folder}/${file}`, attempt)
        .set('content-type', 'application/octet-stream')
        .set('content-sha256', sha256)
        .send(bytes)
    },
    get: (id: string, attempt: number, file: string) =>
      call('get', `jobs/${id}/checkpoints/${file}`, attempt).buffer(true).parse(binary),
    model: (id: string, attempt: number, file: string) =>
      call('get', `jobs/${id}/models/${file}`, attempt).buffer(true).parse(binary),
    latency: (
      id: string,
      attempt: number,
      variants: readonly { variant: string; file: string }[]
    ) =>
      call('post', `jobs/${id}/latency`, attempt).send({
        variants,
        batch: 1,
        threads: 1,
        runs: 10
      }),
    outcome: (id: string, attempt: number, outcome: Outcome) =>
      call('post', `jobs/${id}/outcome`, attempt).send(outcome),
    metric: (epoch: number): Metric => ({
      stage: 'train',
      epoch,
      at: '2026-01-01T00:00:00Z',
      loss: 1 / epoch,
      accuracy: 0.5,
      validation: { loss: 1, accuracy: 0.5 },
      learningRate: 0.1,
      imagesPerSecond: 100
    })
  }
}

function binary(answer: unknown, done: (error: Error | null, body: Buffer) => void): void {
  const response = answer as Readable
  const chunks: Buffer[] = []
  response.on('data', (chunk: Buffer) => chunks.push(chunk))
  response.on('end', () => done(null, Buffer.concat(chunks)))
}
