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

export interface FakeApi {
  readonly url: string
  readonly events: JobEvent[]
  /** `checkpoints/<name>` and `artifacts/<name>`, in the order in which they came. */
  readonly files: { readonly path: string; readonly bytes: Buffer; readonly sha256: string }[]
  readonly outcomes: Outcome[]
  /** What heartbeats are answered; `stale` is 409 to every call about the attempt. */
  order: 'continue' | 'stop' | 'cancel' | 'stale'
  latency: 'measured' | 'refused'
  /** `away` is 503 to every checkpoint. */
  checkpoints: 'kept' | 'away'
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
    order: 'continue',
    latency: 'measured',
    checkpoints: 'kept',
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
  if (kind === 'datasets') {
    if (rest.length > 1) createReadStream(join(dataset, 'images.tar')).pipe(response)
    else response.end(await readFile(join(dataset, 'manifest.jsonl')))
    return
  }
  if (what === 'attempts') return json(200, assignment)
  if (api.order === 'stale') return json(409, { code: 'ATTEMPT_STALE', detail: 'another runs' })
  if (what === 'heartbeat') return json(200, { order: api.order })
  if (what === 'events') api.events.push(...JSON.parse(bytes.toString()).events)
  if (what === 'outcome') api.outcomes.push(JSON.parse(bytes.toString()))
  if (what === 'checkpoints' && api.checkpoints === 'away') {
    return json(503, { code: 'SHUTTING_DOWN', detail: 'bye' })
  }
  if (what === 'checkpoints' || what === 'artifacts') {
    const sha256 = String(request.headers['content-sha256'])
    api.files.push({ path: `${what}/${rest[0]}`, bytes, sha256 })
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
