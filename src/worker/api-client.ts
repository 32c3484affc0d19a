/**
 * The worker's side of `/internal/v1`: every REST call a worker makes.
 *
 * 409 ATTEMPT_STALE means that another attempt has taken over (`isStale`).
 */
import type {
  Claim,
  EventBatch,
  Heartbeat,
  LatencyAnswer,
  LatencyRequest,
  Orders,
  Outcome,
  WorkerOrders,
  WorkerStatus
} from '../contract/internal.ts'
import type { Assignment } from '../contract/job.ts'
import { ApiRefusal, type Call, persist, request, type Send, type Upload } from './api-call.ts'
import { download } from './download.ts'

export interface ApiClientOptions {
  /** Such as `http://127.0.0.1:8000`. */
  readonly url: string
  readonly token: string
  /** How long a call is repeated while the api is away, in milliseconds. @default 600_000 */
  readonly patienceMs?: number
}

export interface ApiClient {
  /** One try only, as a missed sign of life is followed by the next. */
  announce(worker: string, status: WorkerStatus, signal: AbortSignal): Promise<WorkerOrders>
  /** Has the api forget the worker at once. One try only: it forgets those that fall silent. */
  sayGoodbye(worker: string): Promise<void>
  /** Undefined when the catalogue does not want this dispatch to run (any more). */
  claim(job: string, claim: Claim, signal: AbortSignal): Promise<Assignment | undefined>
  /** Writes the dataset's manifest: a header, then a line per image. */
  downloadManifest(dataset: DatasetRef, file: string, signal: AbortSignal): Promise<void>
  /** Writes the dataset's images as a tar file. */
  downloadImages(dataset: DatasetRef, file: string, signal: AbortSignal): Promise<void>
  /** Everything about one claimed attempt. */
  attempt(assignment: Assignment, signal: AbortSignal): AttemptClient
}

export interface DatasetRef {
  readonly id: string
  readonly version: number
}

/** Calls that carry the fencing token of one attempt. */
export interface AttemptClient {
  /** One try only: a missed beat is followed by the next. */
  heartbeat(beat: Heartbeat): Promise<Orders>
  sendEvents(batch: EventBatch): Promise<void>
  /** Seconds that it took, without the time that the api was away. */
  putCheckpoint(name: string, upload: Upload): Promise<number>
  getCheckpoint(name: string, file: string): Promise<void>
  /** Writes an ONNX file of the version that the job evaluates. */
  getModel(name: string, file: string): Promise<void>
  /** Seconds, as for a checkpoint. */
  putArtifact(name: string, upload: Upload): Promise<number>
  measureLatency(request: LatencyRequest): Promise<LatencyAnswer>
  sendOutcome(outcome: Outcome): Promise<void>
}

export function createApiClient({ url, token, patienceMs = 600_000 }: ApiClientOptions): ApiClient {
  const send: Send = (call, use) => {
    const exchange = async () => {
      const since = performance.now()
      return use(await request({ url, token, call }), since)
    }
    return persist(exchange, call, patienceMs)
  }
  return {
    announce: (worker, json, signal) => {
      const path = `workers/${encodeURIComponent(worker)}`
      const call: Call = { method: 'PUT', path, json, signal, persist: false, timeoutMs: 5000 }
      return send<WorkerOrders>(call, asJson)
    },
    sayGoodbye: (worker) => {
      const path = `workers/${encodeURIComponent(worker)}`
      const signal = AbortSignal.timeout(2000)
      return send({ method: 'DELETE', path, signal, persist: false }, nothing)
    },
    async claim(job, json, signal) {
      try {
        return await send<Assignment>(
          { method: 'POST', path: `jobs/${job}/attempts`, json, signal },
          asJson
        )
      } catch (error) {
        if (error instanceof ApiRefusal && [404, 409].includes(error.status)) return undefined
        throw error
      }
    },
    downloadManifest({ id, version }, file, signal) {
      const path = `datasets/${id}/versions/${version}`
      return download(send, { method: 'GET', path, signal }, file)
    },
    downloadImages({ id, version }, file, signal) {
      const path = `datasets/${id}/versions/${version}/images`
      return download(send, { method: 'GET', path, signal }, file)
    },
    attempt: (assignment, signal) => attemptClient(send, assignment, signal)
  }
}

const asJson = <T>(answer: Response): Promise<T> => answer.json() as Promise<T>

/** A body that nobody reads would hold its connection. */
const nothing = (answer: Response): Promise<void> => answer.arrayBuffer().then(() => {})

function attemptClient(
  send: Send,
  { job, attempt, trace }: Assignment,
  signal: AbortSignal
): AttemptClient {
  const base = { attempt, signal, trace }
  const at = (rest: string): string => `jobs/${job}/${rest}`
  const post = (rest: string, json: unknown): Call => ({
    ...base,
    method: 'POST',
    path: at(rest),
    json
  })
  const put = (rest: string, upload: Upload): Promise<number> =>
    send({ ...base, method: 'PUT', path: at(rest), upload }, async (answer, since) => {
      await nothing(answer)
      return (performance.now() - since) / 1000
    })
  return {
    heartbeat: (beat) =>
      send<Orders>({ ...post('heartbeat', beat), persist: false, timeoutMs: 5000 }, asJson),
    sendEvents: (batch) => send(post('events', batch), nothing),
    putCheckpoint: (name, upload) => put(`checkpoints/${name}`, upload),
    getCheckpoint: (name, file) =>
      download(send, { ...base, method: 'GET', path: at(`checkpoints/${name}`) }, file),
    getModel: (name, file) =>
      download(send, { ...base, method: 'GET', path: at(`models/${name}`) }, file),
    putArtifact: (name, upload) => put(`artifacts/${name}`, upload),
    measureLatency: (question) => send<LatencyAnswer>(post('latency', question), asJson),
    sendOutcome: (outcome) => send(post('outcome', outcome), nothing)
  }
}
