/** Whether a canary has left its bounds. */
import type { Rollback, RolledBack, TargetFigures } from '../contract/rollback.ts'

export type Judgement = Pick<RolledBack, 'reason' | 'detail'>

/**
 * Null while the canary stays within its bounds, or too little is known.
 *
 * Errors count only where the stable target has fewer: what strikes both (a machine that is too small)
 * would strike the stable one alone no less. Times are compared once both have answered enough.
 */
export function judgeCanary(
  canary: TargetFigures,
  stable: TargetFigures | null,
  { maxErrorRate, maxLatencyRatio, minRequests }: Rollback
): Judgement | null {
  if (canary.requests < minRequests) return null
  const usual = stable?.errorRate ?? 0
  if (maxErrorRate !== null && canary.errorRate > Math.max(maxErrorRate, usual)) {
    const detail = `${canary.failed} of ${canary.requests} requests failed, ${percent(canary.errorRate)}; at most ${percent(maxErrorRate)} may, and of the stable target's ${percent(usual)} did`
    return { reason: 'errors', detail }
  }
  if (maxLatencyRatio === null || stable === null) return null
  if (answered(canary) < minRequests || answered(stable) < minRequests) return null
  if (canary.medianMs === null || stable.medianMs === null) return null
  const ratio = canary.medianMs / stable.medianMs
  if (ratio <= maxLatencyRatio) return null
  const detail = `an answer took ${canary.medianMs} ms in the median, ${ratio.toFixed(2)} times the ${stable.medianMs} ms of the stable target; at most ${maxLatencyRatio} times is allowed`
  return { reason: 'latency', detail }
}

const answered = ({ requests, failed }: TargetFigures): number => requests - failed
const percent = (fraction: number): string => `${(100 * fraction).toFixed(1)} %`
