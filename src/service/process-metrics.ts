/** Metrics of the process itself: time, memory, files, the event loop, garbage collection. */
import { collectDefaultMetrics, type Registry } from 'prom-client'

/**
 * Of those that come with prom-client these are left out: gauges named like counters, and figures of
 * the event loop that are NaN or absurd when two looks come close upon each other.
 */
const leftOut = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
  'nodejs_eventloop_lag_mean_seconds',
  'nodejs_eventloop_lag_min_seconds',
  'nodejs_eventloop_lag_stddev_seconds'
]

export function collectProcess(registry: Registry, prefix: string): void {
  collectDefaultMetrics({ register: registry, prefix })
  for (const name of leftOut) registry.removeSingleMetric(`${prefix}${name}`)
}
