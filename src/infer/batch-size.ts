/** How many of the images that wait go together, and whether they may wait for more. Pure: the clock is `lane.ts`'s. */

export interface BatchRules {
  /** Images that one run may take. */
  readonly maxBatch: number
  /** How long an image may wait for others while an engine is idle. */
  readonly maxDelayMs: number
  /**
   * Sizes from 1 to `maxBatch`, ascending, that batches should have; Triton's `preferred_batch_size`.
   *
   * - While images may wait for others (`maxDelayMs` > 0), a batch goes as soon as the line fills one of them,
   *   and takes the largest that the line fills. A line that fills none goes when it has `maxBatch` images, or
   *   when its oldest one has waited for `maxDelayMs`, and then at the size it has.
   * - Otherwise (`maxDelayMs` = 0) the size that follows from the line is rounded down to the largest of them
   *   that is not greater; it stays as it is where all are greater.
   *
   * An image that is asked once more goes alone in any case.
   *
   * @default none
   */
  readonly preferredSizes?: readonly number[]
}

/** How a model stands at a moment. */
export interface Backlog {
  /** Images that wait. */
  readonly waiting: number
  /** Engines that can take a batch, the one that takes it included. */
  readonly able: number
  /** All engines of the model but the one that takes the batch, also those that are busy or load. */
  readonly others: number
  /** What an image takes in an engine; 0 when unknown. */
  readonly imageMs: number
}

/** A batch that takes no longer is always worth it: asking an engine costs a tenth of it. */
const shortBatchMs = 2

/** Images that the next batch takes: no more than its engine's part among those that can take one. */
export function batchSize(backlog: Backlog, rules: BatchRules): number {
  const { waiting, able } = backlog
  const filled = largestPreferred(waiting, rules)
  // What has waited to fill is not shared out again.
  if (rules.maxDelayMs > 0 && filled !== undefined) return filled
  const size = Math.min(Math.ceil(waiting / able), largest(backlog, rules))
  return largestPreferred(size, rules) ?? size
}

/** Whether a batch that may fill has no reason to wait any longer, whatever the clock says. */
export function isFilled(waiting: number, rules: BatchRules): boolean {
  return waiting >= rules.maxBatch || largestPreferred(waiting, rules) !== undefined
}

function largestPreferred(most: number, { preferredSizes = [] }: BatchRules): number | undefined {
  return preferredSizes.findLast((size) => size <= most)
}

/**
 * Half of what each of the others would get of the line (guided self-scheduling, Polychronopoulos and Kuck
 * 1987), or all that come together in a short while. All of a batch are answered when its last one is, so a
 * batch is small while the line is short; a long line is worked off in large ones. An engine that is
 * alone takes all it may.
 */
function largest({ waiting, others, imageMs }: Backlog, rules: BatchRules): number {
  const { maxBatch, maxDelayMs } = rules
  if (maxDelayMs > 0 || imageMs === 0) return maxBatch
  const part = others === 0 ? maxBatch : Math.ceil(waiting / (2 * others))
  const short = Math.floor(shortBatchMs / imageMs)
  return Math.max(1, Math.min(maxBatch, Math.max(part, short)))
}
