/**
 * Keeps count of the best epoch, and says when to stop waiting for a better one.
 *
 * Prechelt, "Early Stopping - But When?", 1998. Better is a higher accuracy on validation; of equal
 * accuracies the lower loss, which tells apart epochs of a small validation split.
 */
export interface Score {
  readonly accuracy: number
  readonly loss: number
}

export interface BestEpoch extends Score {
  readonly epoch: number
}

export const isBetter = (score: Score, best: Score | null): boolean =>
  best === null ||
  score.accuracy > best.accuracy ||
  (score.accuracy === best.accuracy && score.loss < best.loss)

/** Whether `epoch` lies `patience` or more epochs after the best. */
export const isExhausted = (
  best: BestEpoch | null,
  epoch: number,
  patience: number | undefined
): boolean => best !== null && patience !== undefined && epoch - best.epoch >= patience
