/**
 * What must be true at the end of a run, after every job has ended. A broken one is a finding.
 *
 * The first table asks the service, as any caller could; the second looks at what it leaves in its
 * folder once it has been ended.
 */
import type { Run } from './actions.ts'
import { datasetInvariants } from './dataset-invariants.ts'
import { eventInvariants } from './event-invariants.ts'
import { folderInvariants } from './folder-invariants.ts'
import type { Invariant } from './invariant.ts'
import { jobInvariants } from './job-invariants.ts'
import { webhookInvariants } from './webhook-invariants.ts'

/** Checked while it runs. */
export const answered: readonly Invariant[] = [
  ...jobInvariants,
  ...eventInvariants,
  ...webhookInvariants,
  ...datasetInvariants
]

/** Checked when it has ended. */
export const leftBehind: readonly Invariant[] = folderInvariants

export async function check(run: Run, invariants: readonly Invariant[]): Promise<void> {
  for (const { name, check } of invariants) {
    try {
      await check(run)
    } catch (error) {
      run.ledger.find('wrong', `"${name}" could not be checked`, (error as Error).stack ?? error)
    }
  }
}
