/** The runs that a request had a part in, as spans: waiting, and the batch with its three steps. */
import type { TraceContext } from '../contract/trace.ts'
import type { AskedRun } from '../infer/batch-run.ts'
import type { Tracing } from '../trace/tracing.ts'

/**
 * A batch that several requests share is a span of each, linked to the spans of the others. Engines tell how
 * long each step took, not when: the steps are drawn one after the other from the start of the batch.
 */
export function addEngineSpans(
  tracing: Tracing,
  parent: TraceContext | undefined,
  runs: readonly AskedRun[]
): void {
  for (const { run, waitedSince } of runs) {
    tracing.start('queue', { parent, since: waitedSince }).end(run.since)
    const links = run.askers.filter(({ traceparent }) => traceparent !== parent?.traceparent)
    const attributes = {
      'whittle.batch.images': run.size,
      'whittle.batch.requests': links.length + 1
    }
    const batch = tracing.start('batch', { parent, links, attributes, since: run.since })
    const { inputMs, inferMs, outputMs } = run.times
    const steps = [
      ['decode', inputMs],
      ['inference', inferMs],
      ['output', outputMs]
    ] as const
    let at = run.since
    for (const [name, ms] of steps) {
      tracing.start(name, { parent: batch.context, since: at }).end(at + ms)
      at += ms
    }
    batch.end(run.until)
  }
}
