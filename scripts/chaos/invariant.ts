/** Something that must be true at the end of a run. */
import type { Run } from './actions.ts'

export interface Invariant {
  readonly name: string
  /** Notes in the ledger what breaks it. */
  readonly check: (run: Run) => Promise<void>
}
