/** placeholder */
import type { NewJob } from '../catalog/jobs.ts'
import type { JobSpec } from '../contract/job.ts'
import type { ServiceError } from '../errors.ts'

export interface JobPlanner {
  /**
   * Checks a job whole, against its dataset and the machine, and resolves its recipe.
   *
   * @param datasetId of a job that was accepted earlier; else the dataset that the spec names
   * @throws ServiceError REQUEST_INVALID with every fault
   */
  plan(spec: JobSpec, datasetId?: string): Promise<NewJob>
  /** The refusal of a body that fails its schema, with what else is wrong with it. */
  extend(refusal: Error, body: unknown): Promise<ServiceError>
}
