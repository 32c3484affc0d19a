/**
 * Checks a job whole before anything is queued: its dataset, its recipe, the memory it would take.
 *
 * A job on a dataset that is still being imported is accepted with what can be checked now; the rest is
 * checked when the import has ended.
 */
import { randomInt } from 'node:crypto'
import { findDataset, versionFacts } from '../catalog/datasets.ts'
import type { NewJob } from '../catalog/jobs.ts'
import type { Catalog } from '../catalog/open.ts'
import type { JobSpec } from '../contract/job.ts'
import { type Fault, ServiceError } from '../errors.ts'
import { planJob } from '../recipe/plan.ts'

export interface JobPlanner {
  /**
   * @param datasetId of a job that was accepted earlier; else the dataset that the spec names
   * @throws ServiceError with every fault, its pointers into the spec
   */
  plan(spec: JobSpec, datasetId?: string): Promise<NewJob>
  /** The refusal of a body that fails its schema, with what else is wrong with it. */
  extend(refusal: Error, body: unknown): Promise<Error>
}

export interface PlannerOptions {
  readonly db: Catalog
  /** Bytes that a trainer may take. */
  readonly memoryLimit: number
}

const seeds = 2 ** 32

export function createPlanner({ db, memoryLimit }: PlannerOptions): JobPlanner {
  return {
    async plan(spec, datasetId) {
      const found = await locate(db, spec.dataset, datasetId)
      if ('pointer' in found) throw refusal([found])
      const { dataset, version } = found
      // A seed that nobody chose is drawn, and shown: the job can be repeated with it.
      const seed = spec.seed ?? randomInt(seeds)
      if (version === null) return { spec, dataset, seed, plan: null }
      const { recipe, reasons, faults, code } = planJob(spec.recipe, version.facts, { memoryLimit })
      if (code !== null) throw refusal(faults, code)
      const plan = { version: version.number, hash: version.facts.hash, recipe, reasons }
      return { spec, dataset, seed, plan }
    },
    async extend(error, body) {
      if (!(error instanceof ServiceError) || error.errors === undefined) return error
      const named = (body as { dataset?: unknown } | null)?.dataset
      const isNamed = !error.errors.some(({ pointer }) => ['', '/dataset'].includes(pointer))
      if (typeof named !== 'string' || !isNamed) return error
      const found = await locate(db, named)
      return 'pointer' in found ? refusal([...error.errors, found]) : error
    }
  }
}

type Facts = NonNullable<Awaited<ReturnType<typeof versionFacts>>>

interface Located {
  readonly dataset: { readonly id: string; readonly name: string }
  /** Null while the dataset is being imported. */
  readonly version: { readonly number: number; readonly facts: Facts } | null
}

/** The dataset version that a spec names, such as `digits` or `digits@3`; or why there is none. */
async function locate(db: Catalog, named: string, id?: string): Promise<Located | Fault> {
  const [name = '', number] = named.split('@')
  const fault = (detail: string): Fault => ({ pointer: '/dataset', detail, received: named })
  const dataset = await findDataset(db, id ?? name)
  if (dataset === undefined) return fault('must be the name or id of a dataset; there is none')
  if (dataset.status === 'importing') return { dataset, version: null }
  if (dataset.status === 'failed') {
    return fault(`must be a usable dataset; its import failed: ${dataset.error?.detail}`)
  }
  const wanted = number === undefined ? dataset.version : Number(number)
  if (wanted === null) return fault('must be a dataset with images; it is empty')
  const facts = await versionFacts(db, dataset.id, wanted)
  if (facts === undefined) return fault(`must be a version that exists; newest: ${dataset.version}`)
  return { dataset, version: { number: wanted, facts } }
}

function refusal(errors: readonly Fault[], code: ServiceError['code'] = 'REQUEST_INVALID') {
  const found = errors.length === 1 ? 'one fault' : `${errors.length} faults`
  return new ServiceError(code, { detail: `Cannot queue the job: ${found} found`, errors })
}
