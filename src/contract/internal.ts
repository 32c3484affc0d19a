/**
 * What workers and the api say to each other over `/internal/v1`.
 *
 * Every call carries `Authorization: Bearer WHITTLE_WORKER_TOKEN`; every call about a claimed job also
 * carries `Whittle-Attempt: n`, the fencing token: when the catalogue knows a newer attempt, the answer
 * is 409 ATTEMPT_STALE and the worker abandons the job.
 *
 * | call                                            | body → answer                               |
 * | ----------------------------------------------- | ------------------------------------------- |
 * | PUT /workers/{id}                               | WorkerStatus → WorkerOrders, every 2 s (id: host-pid) |
 * | DELETE /workers/{id}                            | → 204: goodbye                               |
 * | POST /jobs/{id}/attempts                        | Claim → Assignment; 409 when not to be run   |
 * | POST /jobs/{id}/heartbeat                       | Heartbeat → Orders                           |
 * | POST /jobs/{id}/events                          | EventBatch → 204                             |
 * | PUT, GET /jobs/{id}/checkpoints/{name}          | bytes, `Content-SHA256` (hex); 422 when damaged |
 * | PUT /jobs/{id}/artifacts/{file}                 | bytes, `Content-SHA256` (hex)                |
 * | GET /jobs/{id}/models/{file}                    | an ONNX file of the version to evaluate, `Content-SHA256` |
 * | POST /jobs/{id}/latency                         | LatencyRequest → LatencyAnswer (minutes)     |
 * | POST /jobs/{id}/outcome                         | Outcome → { state, version? }                |
 * | GET /datasets/{id}/versions/{n}                 | JSON lines: ManifestHeader, ManifestImage... |
 * | GET /datasets/{id}/versions/{n}/images          | tar stream: entries `<sha256>`, manifest order |
 *
 * A checkpoint's PUT may carry `Whittle-Damaged: a,b`, the checkpoints that the attempt was handed and
 * could not use: they make room for it before older ones do.
 */
import { type Static, Type } from 'typebox'
import { EvaluationReport } from './evaluation.ts'
import { Decision, Environment, Metric, Stage } from './job.ts'
import { Latency, PublishedReport, VariantName } from './report.ts'

/** The training engine that a worker's trainers use, and why. */
export const EngineInfo = Type.Object(
  {
    name: Type.Union([Type.Literal('tensorflow'), Type.Literal('wasm')]),
    version: Type.String({ maxLength: 100 }),
    reason: Type.String({ maxLength: 2000 }),
    threads: Type.Integer({ minimum: 1 })
  },
  { $id: 'EngineInfo' }
)
export type EngineInfo = Static<typeof EngineInfo>

/** A worker's sign of life; one that has been silent for 20 s counts as gone. */
export const WorkerStatus = Type.Object(
  {
    engine: EngineInfo,
    slots: Type.Integer({ minimum: 1 }),
    busy: Type.Integer({ minimum: 0 }),
    draining: Type.Boolean({ description: 'Takes nothing new' }),
    startedAt: Type.String({ maxLength: 40, description: 'Tells it from an earlier one of its id' })
  },
  { $id: 'WorkerStatus', additionalProperties: false }
)
export type WorkerStatus = Static<typeof WorkerStatus>

/** The answer to a sign of life. */
export const WorkerOrders = Type.Object({ drain: Type.Boolean() }, { $id: 'WorkerOrders' })
export type WorkerOrders = Static<typeof WorkerOrders>

export const Claim = Type.Object(
  {
    dispatch: Type.Integer({ minimum: 1, description: 'n of the BullMQ job `<job>-<n>`' }),
    worker: Type.String({ maxLength: 200, description: 'host:pid, for people' })
  },
  { $id: 'Claim', additionalProperties: false }
)
export type Claim = Static<typeof Claim>

export const Heartbeat = Type.Object(
  { progress: Type.Number({ minimum: 0, maximum: 1 }) },
  { $id: 'Heartbeat', additionalProperties: false }
)
export type Heartbeat = Static<typeof Heartbeat>

/** What the api wants of the worker: go on, stop early and publish the best, or give up. */
export const Orders = Type.Object(
  { order: Type.Union([Type.Literal('continue'), Type.Literal('stop'), Type.Literal('cancel')]) },
  { $id: 'Orders' }
)
export type Orders = Static<typeof Orders>

export const JobEvent = Type.Union(
  [
    Type.Object({
      type: Type.Literal('stage'),
      stage: Stage,
      progress: Type.Number({ minimum: 0, maximum: 1 })
    }),
    Type.Object({ type: Type.Literal('metric'), metric: Metric }),
    /** Where this attempt computes: its first event. */
    Type.Object({ type: Type.Literal('environment'), environment: Environment }),
    /** Waits for the answer before it acts: what is not recorded was not decided. */
    Type.Object({ type: Type.Literal('decision'), decision: Decision }),
    /** For the metrics of the service. */
    Type.Object({
      type: Type.Literal('checkpoint'),
      seconds: Type.Number({ minimum: 0 }),
      bytes: Type.Integer({ minimum: 0 })
    }),
    Type.Object({
      type: Type.Literal('log'),
      at: Type.String(),
      level: Type.Union([Type.Literal('info'), Type.Literal('warn'), Type.Literal('error')]),
      message: Type.String({ maxLength: 10_000 })
    })
  ],
  { $id: 'JobEvent' }
)
export type JobEvent = Static<typeof JobEvent>

/** Numbered, so that one that comes again because its answer was lost is not stored twice. */
export const EventBatch = Type.Object(
  {
    n: Type.Integer({ minimum: 1, description: 'Number of the batch within the attempt' }),
    events: Type.Array(JobEvent, { maxItems: 1000 })
  },
  { $id: 'EventBatch', additionalProperties: false }
)
export type EventBatch = Static<typeof EventBatch>

export const LatencyRequest = Type.Object(
  {
    variants: Type.Array(Type.Object({ variant: VariantName, file: Type.String() }), {
      minItems: 1,
      maxItems: 8
    }),
    batch: Type.Integer({ minimum: 1, maximum: 1024 }),
    threads: Type.Integer({ minimum: 1, maximum: 256 }),
    runs: Type.Integer({ minimum: 10, maximum: 10_000 })
  },
  { $id: 'LatencyRequest', additionalProperties: false }
)
export type LatencyRequest = Static<typeof LatencyRequest>

export const LatencyAnswer = Type.Object(
  { latencies: Type.Record(Type.String(), Latency) },
  { $id: 'LatencyAnswer' }
)
export type LatencyAnswer = Static<typeof LatencyAnswer>

/** exit: by itself. signal: killed. memory: killed for want of memory. supervisor: what is around it failed. */
export const crashCauses = ['exit', 'signal', 'memory', 'supervisor'] as const
export type CrashCause = (typeof crashCauses)[number]

export const Outcome = Type.Union(
  [
    Type.Object({
      kind: Type.Literal('completed'),
      report: PublishedReport,
      stopReason: Type.Union([Type.String(), Type.Null()])
    }),
    /** A job to evaluate has come to its report. */
    Type.Object({
      kind: Type.Literal('evaluated'),
      report: EvaluationReport,
      stopReason: Type.Union([Type.String(), Type.Null()])
    }),
    /** A failure that a retry cannot cure; `code` is one of `errors.ts`. */
    Type.Object({ kind: Type.Literal('failed'), code: Type.String(), detail: Type.String() }),
    Type.Object({ kind: Type.Literal('cancelled') }),
    /** The worker shuts down: dispatch the job again, nothing is counted against it. */
    Type.Object({ kind: Type.Literal('released') }),
    /** The worker cannot go on for now (its disk is full): dispatch the job again after a while. */
    Type.Object({ kind: Type.Literal('postponed'), detail: Type.String({ maxLength: 2000 }) }),
    /** The trainer ended unasked. Three in a row without checkpoint progress fail the job. */
    Type.Object({
      kind: Type.Literal('crashed'),
      cause: Type.Enum(crashCauses),
      exitCode: Type.Union([Type.Integer(), Type.Null()]),
      signal: Type.Union([Type.String(), Type.Null()]),
      progressed: Type.Boolean(),
      detail: Type.String({ maxLength: 20_000 })
    })
  ],
  { $id: 'Outcome' }
)
export type Outcome = Static<typeof Outcome>

/** First line of a manifest. */
export const ManifestHeader = Type.Object(
  {
    id: Type.String(),
    name: Type.String(),
    version: Type.Integer(),
    hash: Type.String(),
    labels: Type.Array(Type.String(), { description: 'Class names in class-index order' }),
    counts: Type.Object({
      train: Type.Integer({ minimum: 0 }),
      validation: Type.Integer({ minimum: 0 }),
      test: Type.Integer({ minimum: 0 })
    })
  },
  { $id: 'ManifestHeader' }
)
export type ManifestHeader = Static<typeof ManifestHeader>

/** Every further line of a manifest: an image. A line each, so that nobody need hold them all. */
export const ManifestImage = Type.Object(
  {
    sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
    label: Type.Integer({ minimum: 0, description: 'Index into labels' }),
    split: Type.Enum(['train', 'validation', 'test']),
    bytes: Type.Integer({ minimum: 1 })
  },
  { $id: 'ManifestImage' }
)
export type ManifestImage = Static<typeof ManifestImage>
