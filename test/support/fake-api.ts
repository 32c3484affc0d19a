/** Answers a worker's calls from memory and files, and writes down what it was told. */
import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { JobEvent, LatencyRequest, Outcome } from '../../src/contract/internal.ts'
import type { Assignment } from '../../src/contract/job.ts'
import { latency } from './trainer-run.ts'

interface ReceivedFile {
  readonly path: string
  readonly bytes: Buffer
  readonly sha256: string
  /** The header `Whittle-Damaged`. */
  readonly damaged: string
}

export interface FakeApi {
  readonly url: string
  readonly events: JobEvent[]
  /** `checkpoints/<name>` and `artifacts/<name>`, in the order in which they came. */
  readonly files: ReceivedFile[]
  readonly outcomes: Outcome[]
  /** How often an attempt was claimed, and how often one asked for orders. */
  claims: number
  beats: number
  /** The attempt that a claim is given; calls of any other are refused, and counted. */
  attempt: number
  refused: number
  /** What heartbeats are answered. */
  order: 'continue' | 'stop' | 'cancel'
  /** `held` is no answer at all. */
  heartbeats: 'answered' | 'held'
  latency: 'measured' | 'refused'
  /** `away` is 503 to every checkpoint, `full` 507; `damaged` is 422 to who asks for one. */
  checkpoints: 'kept' | 'away' | 'full' | 'damaged'
  /** `refused` is 422 to every report of a job that completed. */
  reports: 'taken' | 'refused'
  /** `away` is 503 to everything about datasets. */
  datasets: 'served' | 'away'
}

/** Serves one assignment, with the dataset that lies in `dataset` as a worker would keep it. */
export async function startFakeApi(
  t: TestContext,
  { assignment, dataset }: { readonly assignment: Assignment; readonly dataset: string }
): Promise<FakeApi> {
  const told = {
    events: [] as JobEvent[],
    files: [] as FakeApi['files'],
    outcomes: [] as Outcome[]
  }
  const api: FakeApi = {
    url: '',
    claims: 0,
    beats: 0,
    attempt: assignment.attempt,
    refused: 0,
    order: 'continue',
    heartbeats: 'answered',
    latency: 'measured',
    checkpoints: 'kept',
    reports: 'taken',
    datasets: 'served',
    ...told
  }
  const server = createServer(async (request, response) => {
    const bytes = await readAll(request)
    if (bytes !== null) await answer({ api, assignment, dataset, request, bytes, response })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return Object.assign(api, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
}

/** Null when the worker hangs up, as it does when it abandons an attempt. */
async function readAll(request: IncomingMessage): Promise<Buffer | null> {
  try {
    return Buffer.concat(await Array.fromAsync(request as AsyncIterable<Buffer>))
  } catch {
    return null
  }
}

interface Call {
  readonly api: FakeApi
  readonly assignment: Assignment
  readonly dataset: string
  readonly request: IncomingMessage
  readonly bytes: Buffer
  readonly response: ServerResponse
}

async function answer({ api, assignment, dataset, request, bytes, response }: Call): Promise<void> {
  const [, , , kind, , what = '', ...rest] = (request.url ?? '').split('/')
  const json = (status: number, body: unknown): void => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  }
  if (kind === 'datasets' && api.datasets === 'away') {
    return json(503, { code: 'SHUTTING_DOWN', detail: 'bye' })
  }
  if (kind === 'datasets') {
    if (rest.length > 1) createReadStream(join(dataset, 'images.tar')).pipe(response)
    else response.end(await readFile(join(dataset, 'manifest.jsonl')))
    return
  }
  if (kind === 'workers') return json(200, { drain: false })
  if (what === 'attempts') {
    api.claims += 1
    return json(200, { ...assignment, attempt: api.attempt })
  }
  if (what === 'heartbeat' && api.heartbeats === 'held') {
    api.beats += 1
    return
  }
  if (request.headers['whittle-attempt'] !== String(api.attempt)) {
    api.refused += 1
    return json(409, { code: 'ATTEMPT_STALE', detail: 'another runs' })
  }
  if (what === 'heartbeat') {
    api.beats += 1
    return json(200, { order: api.order })
  }
  if (what === 'events') api.events.push(...JSON.parse(bytes.toString()).events)
  if (what === 'outcome') {
    const outcome: Outcome = JSON.parse(bytes.toString())
    if (outcome.kind === 'completed' && api.reports === 'refused') {
      return json(422, { code: 'MODEL_INVALID', detail: 'int8.onnx is not there' })
    }
    api.outcomes.push(outcome)
  }
  if (what === 'checkpoints' && api.checkpoints === 'away') {
    return json(503, { code: 'SHUTTING_DOWN', detail: 'bye' })
  }
  if (what === 'checkpoints' && api.checkpoints === 'full') {
    return json(507, { code: 'DISK_FULL', detail: 'Cannot store the file: no room is left' })
  }
  if (request.method === 'GET' && api.checkpoints === 'damaged') {
    return json(422, { code: 'CHECKPOINT_DAMAGED', detail: 'Cannot read it' })
  }
  if (what === 'checkpoints' || what === 'artifacts') {
    const { 'content-sha256': sha256, 'whittle-damaged': damaged = '' } = request.headers
    const path = `${what}/${rest[0]}`
    api.files.push({ path, bytes, sha256: String(sha256), damaged: String(damaged) })
  }
  if (what === 'latency') {
    if (api.latency === 'refused')
      return json(422, { code: 'MODEL_INVALID', detail: 'not a model' })
    const { variants } = JSON.parse(bytes.toString()) as LatencyRequest
    const latencies = variants.map(({ variant }) => [variant, latency] as const)
    return json(200, { latencies: Object.fromEntries(latencies) })
  }
  return json(200, {})
}
