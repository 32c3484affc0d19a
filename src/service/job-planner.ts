/**
 * Checks a job whole before anything is queued: its dataset, its recipe, the memory and the disk that it
 * would take, and the address of its webhook.
 *
 * A job on a dataset that is still being imported is accepted with what can be checked now; the rest is
 * checked when the import has ended.
 */
import { randomInt } from 'node:crypto'
import type { CatalogTransaction } from '../catalog/database.ts'
import { findDataset, versionFacts } from '../catalog/datasets.ts'
import type { JobRow, NewJob } from '../catalog/jobs.ts'
import { evaluationTask, type JudgedVersion, judgedVersion } from '../catalog/judged-version.ts'
import type { Catalog } from '../catalog/open.ts'
import type { WebhookTargets } from '../contract/delivery.ts'
import type { Assignment, JobSpec, VersionEvaluationSpec } from '../contract/job.ts'
import { type Fault, ServiceError } from '../errors.ts'
import { estimateEvaluation, estimateJob } from '../recipe/estimate.ts'
import { planJob } from '../recipe/plan.ts'
import { planEvaluation } from './evaluation-planner.ts'
import {
  type Facts,
  faultsOfWebhook,
  type Located,
  locate,
  noDataset,
  refusal
} from './job-faults.ts'
import type { Storage } from './storage.ts'

export interface JobPlanner {
  /**
   * @param datasetId of a job that was accepted earlier; else the dataset that the spec names
   * @throws ServiceError with every fault, its pointers into the spec
   */
  plan(spec: JobSpec, datasetId?: string): Promise<NewJob>
  /** Plans the evaluation of a published version. @throws ServiceError like `plan` */
  planEvaluation(spec: VersionEvaluationSpec, judged: JudgedVersion): Promise<NewJob>
  /** Plans a job that was accepted while its dataset was being imported. @throws ServiceError like `plan` */
  planWaiting(job: JobRow): Promise<NewJob>
  /**
   * Refuses a planned job whose dataset has been deleted since. To be called in the transaction that
   * stores the job: from then on the dataset cannot be deleted.
   */
  confirm(trx: CatalogTransaction, planned: NewJob): Promise<void>
  /** What a planned job may take on a worker. */
  allowance(job: JobRow): Promise<Assignment['allowance']>
  /** The refusal of a body that fails its schema, with what else is wrong with it. */
  extend(refusal: Error, body: unknown): Promise<Error>
}

export interface PlannerOptions {
  readonly db: Catalog
  /** Bytes that a trainer may take. */
  readonly memoryLimit: number
  readonly webhookTargets: WebhookTargets
  readonly storage: Pick<Storage, 'capacity'>
}

/**
 * What a job may take beyond its estimate, so that only one that has gone astray is ended. Of memory, whose
 * peaks were measured at 0.5 to 1.3 times the estimate: what the allocator keeps, four of the largest images
 * while they are decoded (1.8 GiB), a GPU's libraries. Of disk: scratch files and damaged caches.
 */
const memorySlack = { factor: 2, bytes: 2 * 2 ** 30 } as const
const diskSlack = { factor: 2, bytes: 256 * 2 ** 20 } as const

const seeds = 2 ** 32

export function createPlanner(options: PlannerOptions): JobPlanner {
  const { db, memoryLimit, webhookTargets, storage } = options
  const evaluationAllowance = async (job: JobRow, facts: Facts) => {
    const task = await evaluationTask(db, job)
    // How much memory a model takes that was made elsewhere cannot be told from its file.
    return {
      memoryBytes: memoryLimit,
      diskBytes: withSlack(estimateEvaluation(task, facts), diskSlack)
    }
  }
  const webhookFaults = (spec: unknown) => faultsOfWebhook(spec, webhookTargets)
  const planner: JobPlanner = {
    async plan(spec, datasetId) {
      // What was accepted once is not refused because a setting has changed since.
      const others = datasetId === undefined ? webhookFaults(spec) : []
      const found = await locate(db, spec.dataset, datasetId)
      if ('pointer' in found) throw refusal([found, ...others])
      const { dataset, version } = found
      // A seed that nobody chose is drawn, and shown: the job can be repeated with it.
      const seed = spec.seed ?? randomInt(seeds)
      if (version === null) {
        if (others.length > 0) throw refusal(others)
        return { spec, dataset, seed, plan: null }
      }
      const limits = { memoryLimit, storageLimit: await storage.capacity() }
      const { recipe, reasons, faults, code } = planJob(spec.recipe, version.facts, limits)
      if (code !== null) throw refusal([...faults, ...others], code)
      if (others.length > 0) throw refusal(others)
      const plan = { version: version.number, hash: version.facts.hash, recipe, reasons }
      return { spec, dataset, seed, plan }
    },
    planEvaluation: (spec, judged) => planEvaluation(db, spec, { judged, webhookTargets }),
    async planWaiting({ kind, spec: text, dataset_id: datasetId }) {
      const spec = JSON.parse(text)
      if (kind === 'train') return planner.plan(spec, datasetId)
      const judged = await judgedVersion(db, spec.model, spec.version)
      return planEvaluation(db, spec, { judged, datasetId, webhookTargets })
    },
    async confirm(trx, { spec, dataset }) {
      if ((await findDataset(trx, dataset.id)) === undefined)
        throw refusal([noDataset(spec.dataset)])
    },
    async allowance(job) {
      const facts = await versionFacts(db, job.dataset_id, job.dataset_version ?? 0)
      if (facts === undefined) throw unplanned()
      if (job.kind === 'evaluate') return evaluationAllowance(job, facts)
      if (job.recipe === null) throw unplanned()
      const { memoryBytes, diskBytes } = estimateJob(JSON.parse(job.recipe), facts)
      return {
        memoryBytes: Math.min(memoryLimit, withSlack(memoryBytes, memorySlack)),
        diskBytes: withSlack(diskBytes, diskSlack)
      }
    },
    async extend(error, body) {
      if (!(error instanceof ServiceError) || error.errors === undefined) return error
      const known = [...error.errors]
      const isJudged = (...places: string[]) =>
        known.some(({ pointer }) => places.includes(pointer))
      const named = (body as { dataset?: unknown } | null)?.dataset
      const found: (Fault | Located)[] = isJudged('/webhook', '/webhook/url')
        ? []
        : webhookFaults(body)
      if (typeof named === 'string' && !isJudged('', '/dataset'))
        found.unshift(await locate(db, named))
      const more = found.filter((one) => 'pointer' in one)
      return more.length === 0 ? error : refusal([...known, ...more])
    }
  }
  return planner
}

const unplanned = () => new TypeError('Cannot tell what a job may take that has not been planned')

const withSlack = (bytes: number, slack: typeof memorySlack | typeof diskSlack): number =>
  Math.ceil(bytes * slack.factor + slack.bytes)
