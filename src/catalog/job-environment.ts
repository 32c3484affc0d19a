/**
 * Where a job computes, and what was decided by the clock while it did: all that an attempt must repeat
 * to end with the bytes of an undisturbed run.
 *
 * The first attempt's environment is the job's. One attempt elsewhere, and the job is never again said to
 * be exact: its weights have gone through other hands.
 */
import type { Decision, Environment } from '../contract/job.ts'
import type { CatalogTransaction } from './database.ts'
import { type JobRow, updateJob } from './jobs.ts'

const parts = ['engine', 'version', 'cpu', 'threads'] as const

/** Notes where an attempt computes. Returns a line for the job's log when it is not where the first did. */
export async function recordEnvironment(
  trx: CatalogTransaction,
  job: JobRow,
  environment: Environment
): Promise<string | null> {
  const first = environmentOf(job)
  if (first === null) {
    await updateJob(trx, job.id, { environment: JSON.stringify(environment), bit_exact: 1 })
    return null
  }
  const differences = parts
    .filter((part) => first[part] !== environment[part])
    .map((part) => `${part} was ${first[part]} and is ${environment[part]}`)
  if (differences.length === 0) return null
  await updateJob(trx, job.id, { bit_exact: 0 })
  return `goes on elsewhere, so the result is not bit for bit that of an undisturbed run: ${differences.join('; ')}`
}

/** Keeps a decision. One for a stage that has one already is the same, told again. */
export async function recordDecision(
  trx: CatalogTransaction,
  job: JobRow,
  decision: Decision
): Promise<void> {
  const taken = decisionsOf(job)
  if (taken.some(({ stage }) => stage === decision.stage)) return
  await updateJob(trx, job.id, { decisions: JSON.stringify([...taken, decision]) })
}

export const environmentOf = ({ environment }: JobRow): Environment | null =>
  environment === null ? null : JSON.parse(environment)

export const decisionsOf = ({ decisions }: JobRow): Decision[] => JSON.parse(decisions)
