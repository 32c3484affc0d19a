/**
 * Linear warm-up, then one half cosine down to zero, per update.
 *
 * Loshchilov and Hutter, "SGDR", 2016. arXiv:1608.03983, equation 5 without restarts; warm-up after
 * Goyal et al., 2017. arXiv:1706.02677, section 2.2.
 */
export interface CosineSchedule {
  readonly peak: number
  readonly warmupUpdates: number
  readonly totalUpdates: number
}

/** The learning rate of the update-th update, counted from 0. */
export const cosineRate = (
  { peak, warmupUpdates, totalUpdates }: CosineSchedule,
  update: number
): number => {
  if (update < warmupUpdates) {
    return (peak * (update + 1)) / (warmupUpdates + 1)
  }
  const span = Math.max(1, totalUpdates - warmupUpdates)
  const share = Math.min(1, (update - warmupUpdates) / span)
  return 0.5 * peak * (1 + Math.cos(Math.PI * share))
}
