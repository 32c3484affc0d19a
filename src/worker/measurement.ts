/**
 * How latency is measured for a report: one image at a time on one core, as the contract's example shows.
 *
 * One thread keeps variants comparable between machines of different width.
 */
export const latencyBatch = 1
export const latencyThreads = 1
export const latencyRuns = 300
