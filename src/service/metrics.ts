/**
 * Every metric of the service: names, help and labels in one place, after the practices of Prometheus
 * (prometheus.io/docs/practices/naming).
 *
 * Counters and histograms are those of this process and begin at 0 with it; gauges are read where the
 * truth is, when they are asked for. Labels are drawn from short lists, never from what callers choose.
 */
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { deliveryCounts, jobCounts, queueFigures } from '../catalog/figures.ts'
import { stageSeconds } from '../catalog/job-events.ts'
import type { Catalog } from '../catalog/open.ts'
import {
  crashCauses,
  type JobEvent,
  type Outcome,
  type WorkerStatus
} from '../contract/internal.ts'
import { type JobKind, jobStates } from '../contract/job.ts'
import { type RolledBack, rollbackReasons } from '../contract/rollback.ts'
import { addInferenceCounters, type ModelFigures } from './inference-metrics.ts'
import type { FolderUse } from './measure-folder.ts'
import { collectProcess } from './process-metrics.ts'

export interface MetricsSources {
  readonly db: Catalog
  readonly workers: { list(): readonly WorkerStatus[] }
  readonly feed: { readonly followers: number }
  readonly redisReady: () => boolean
  readonly engines: {
    readonly status: EnginesFigures
    readonly statistics: readonly ModelFigures[]
  }
  readonly drift: {
    readonly trips: ReadonlyMap<string, number>
    drifting(): Promise<number>
  }
  readonly storage: {
    recent(withinMs: number): Promise<{ readonly use: FolderUse }>
    space(): Promise<{ readonly free: number }>
  }
}

interface EnginesFigures {
  readonly processes: number
  readonly crashes: number
  readonly models: readonly { readonly waiting: number }[]
}

/** An answer that has been sent. */
export interface TimedRequest {
  readonly method: string
  /** Pattern such as `/v1/jobs/:id`; undefined where there is no route. */
  readonly route: string | undefined
  readonly status: number
  /** Undefined for answers that last as long as somebody listens. */
  readonly seconds: number | undefined
}

/** answered: with a label. refused: for the image's own sake. failed: by us, or one of too many. */
export type ImageOutcome = 'answered' | 'refused' | 'failed'

export type Metrics = ReturnType<typeof createMetrics>

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']
/** Models that have a series of their own; further ones share one. */
const mostModels = 100
const outcomes = Object.keys({
  completed: 0,
  evaluated: 0,
  failed: 0,
  cancelled: 0,
  released: 0,
  postponed: 0,
  crashed: 0
} satisfies Record<Outcome['kind'], 0>)

const requestBuckets = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120]
const stageBuckets = [1, 5, 15, 60, 300, 900, 3600, 14_400, 86_400]
const checkpointBuckets = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]
const sizeBuckets = [0.25, 1, 4, 16, 64, 256, 1024, 4096].map((size) => size * 1024 ** 2)

export function createMetrics(sources: MetricsSources) {
  const registry: Registry = new Registry()
  const { counter, histogram } = makers(registry)
  const requests = counter(
    'http_requests_total',
    'Requests that were answered, by pattern of the address',
    { labels: ['method', 'route', 'status'] }
  )
  const requestSeconds = histogram(
    'http_request_duration_seconds',
    'Time to the end of the answer; event streams are left out',
    { labels: ['method', 'route'], buckets: requestBuckets }
  )
  const images = counter('predictions_total', 'Images that models were asked about', {
    labels: ['model', 'outcome']
  })
  const rollbacks = counter(
    'alias_rollbacks_total',
    'Aliases that went back to their stable target by themselves, by reason',
    { labels: ['reason'] }
  )
  const attempts = counter('job_attempts_total', 'Attempts that workers have begun')
  const ends = counter('job_attempt_ends_total', 'Attempts that workers have ended, by outcome', {
    labels: ['outcome']
  })
  const crashes = counter('job_crashes_total', 'Trainers that ended unasked, by cause', {
    labels: ['cause']
  })
  const stages = histogram(
    'job_stage_duration_seconds',
    'Running time of each stage of jobs that have ended, over all their attempts',
    { labels: ['stage'], buckets: stageBuckets }
  )
  const checkpointSeconds = histogram(
    'checkpoint_duration_seconds',
    'Time that trainers took to write a checkpoint',
    { buckets: checkpointBuckets }
  )
  const checkpointBytes = histogram('checkpoint_size_bytes', 'Size of checkpoints', {
    buckets: sizeBuckets
  })
  // What has not happened yet is told as 0, or its first time would look like no increase.
  for (const reason of rollbackReasons) rollbacks.inc({ reason }, 0)
  for (const cause of crashCauses) crashes.inc({ cause }, 0)
  for (const outcome of outcomes) ends.inc({ outcome }, 0)
  addJobGauges(registry, sources)
  addPartGauges(registry, sources)
  addDiskGauges(registry, sources)
  addDriftMetrics(registry, sources)
  addInferenceCounters(registry, sources)
  collectProcess(registry, prefix)
  const models = new Set<string>()

  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),

    requestAnswered({ method, route = 'none', status, seconds }: TimedRequest): void {
      const labels = { method: methods.includes(method) ? method : 'other', route }
      requests.inc({ ...labels, status })
      if (seconds !== undefined) requestSeconds.observe(labels, seconds)
    },

    imagesAsked(model: string, outcome: ImageOutcome, count = 1): void {
      if (models.size < mostModels) models.add(model)
      images.inc({ model: models.has(model) ? model : 'other', outcome }, count)
    },

    aliasRolledBack({ reason }: Pick<RolledBack, 'reason'>): void {
      rollbacks.inc({ reason })
    },

    attemptBegun(): void {
      attempts.inc()
    },

    /** What the attempt that holds a job has told. */
    attemptReported(events: readonly JobEvent[]): void {
      for (const event of events) {
        if (event.type !== 'checkpoint') continue
        checkpointSeconds.observe(event.seconds)
        checkpointBytes.observe(event.bytes)
      }
    },

    attemptEnded(outcome: Outcome): void {
      ends.inc({ outcome: outcome.kind })
      if (outcome.kind === 'crashed') crashes.inc({ cause: outcome.cause })
    },

    async jobEnded(id: string): Promise<void> {
      for (const [stage, seconds] of await stageSeconds(sources.db, id)) {
        stages.observe({ stage }, seconds)
      }
    }
  }
}

function addJobGauges(registry: Registry, { db }: MetricsSources): void {
  const { gauge } = makers(registry)
  gauge('jobs', 'Jobs, by kind and state', {
    labels: ['kind', 'state'],
    async collect() {
      this.reset()
      for (const kind of ['train', 'evaluate'] satisfies JobKind[])
        for (const state of jobStates) this.set({ kind, state }, 0)
      for (const { kind, state, count } of await jobCounts(db)) this.set({ kind, state }, count)
    }
  })
  gauge('queue_oldest_seconds', 'How long the queued job that waits for longest has waited', {
    async collect() {
      const { since } = await queueFigures(db)
      this.set(since === null ? 0 : Math.max(0, Date.now() - since.getTime()) / 1000)
    }
  })
  gauge('queue_jobs', 'Queued jobs', {
    async collect() {
      this.set((await queueFigures(db)).jobs)
    }
  })
  gauge('deliveries', 'Webhook messages that are still to be delivered, or were given up', {
    labels: ['state'],
    async collect() {
      for (const state of ['pending', 'failed']) this.set({ state }, 0)
      for (const { state, count } of await deliveryCounts(db)) this.set({ state }, count)
    }
  })
}

function addPartGauges(registry: Registry, sources: MetricsSources): void {
  const { workers, feed, redisReady, engines } = sources
  const { counter, gauge } = makers(registry)
  const sum = (count: (worker: WorkerStatus) => number): number =>
    workers.list().reduce((total, worker) => total + count(worker), 0)
  const figures = [
    ['workers', 'Workers that are there', () => workers.list().length],
    ['workers_draining', 'Workers that take nothing new', () => sum((one) => +one.draining)],
    ['worker_slots', 'Jobs that the workers can run at a time', () => sum((one) => one.slots)],
    ['worker_slots_busy', 'Jobs that the workers run', () => sum((one) => one.busy)],
    ['event_followers', 'Open event streams', () => feed.followers],
    ['redis_ready', 'Whether Redis takes dispatches: 1 or 0', () => +redisReady()],
    ['engine_processes', 'Inference processes that are up', () => engines.status.processes],
    ['predictions_waiting', 'Images that wait for an inference process', () => waiting(engines)]
  ] as const
  for (const [name, help, read] of figures) {
    gauge(name, help, {
      collect() {
        this.set(read())
      }
    })
  }
  counter('engine_crashes_total', 'Inference processes that ended unasked', {
    collect() {
      this.reset()
      this.inc(engines.status.crashes)
    }
  })
}

function addDriftMetrics(registry: Registry, { drift }: MetricsSources): void {
  const { counter, gauge } = makers(registry)
  gauge(
    'drifting_variants',
    'Variants of models that are asked other things than their reference',
    {
      async collect() {
        this.set(await drift.drifting())
      }
    }
  )
  counter('drift_trips_total', 'Times that what a variant was asked began to drift, by aspect', {
    labels: ['aspect'],
    collect() {
      this.reset()
      for (const [aspect, trips] of drift.trips) this.inc({ aspect }, trips)
    }
  })
}

/** Scraped every few seconds, the folder would be walked all the time. */
const diskAgeMs = 60_000

/** A walk of a large folder outlasts the patience of whoever asks, so the last one is told. */
function addDiskGauges(registry: Registry, { storage }: MetricsSources): void {
  const { gauge } = makers(registry)
  gauge('disk_free_bytes', 'Bytes that are free in the file system of the data folder', {
    async collect() {
      this.set((await storage.space()).free)
    }
  })
  let known: FolderUse | undefined
  const measure = async (): Promise<FolderUse> => {
    known = (await storage.recent(diskAgeMs)).use
    return known
  }
  gauge('disk_used_bytes', 'Bytes in the data folder when it was last measured', {
    labels: ['part'],
    async collect() {
      const measuring = measure()
      // The next one to ask is told of the failure, if it lasts.
      measuring.catch(() => {})
      const { files: _, ...parts } = known ?? (await measuring)
      for (const [part, bytes] of Object.entries(parts)) this.set({ part }, bytes)
    }
  })
}

const waiting = ({ status }: MetricsSources['engines']): number =>
  status.models.reduce((total, model) => total + model.waiting, 0)

const prefix = 'whittle_'

interface Choices<M> {
  readonly labels?: readonly string[]
  /** Reads the value when it is asked for. */
  readonly collect?: (this: M) => void | Promise<void>
}

/** Makes metrics with our prefix and puts them into `registry`. */
function makers(registry: Registry) {
  const usual = <M>(name: string, help: string, { labels = [], ...rest }: Choices<M>) => ({
    name: `${prefix}${name}`,
    help,
    labelNames: [...labels],
    registers: [registry],
    ...rest
  })
  return {
    counter: (name: string, help: string, choices: Choices<Counter> = {}) =>
      new Counter(usual(name, help, choices)),
    gauge: (name: string, help: string, choices: Choices<Gauge> = {}) =>
      new Gauge(usual(name, help, choices)),
    histogram: (
      name: string,
      help: string,
      { buckets, ...choices }: Choices<Histogram> & { readonly buckets: readonly number[] }
    ) => new Histogram({ ...usual(name, help, choices), buckets: [...buckets] })
  }
}
