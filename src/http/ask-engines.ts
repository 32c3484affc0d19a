/** Asks the engines about the images of a request, and tells the watch over canaries what came of it. */
import type { Blobs } from '../blob/blobs.ts'
import type { ServedVariant } from '../catalog/served-models.ts'
import type { TraceContext } from '../contract/trace.ts'
import { ServiceError } from '../errors.ts'
import type { Engines } from '../infer/engines.ts'
import type { Question, Verdict } from '../infer/messages.ts'
import type { Answer, AskOptions } from '../infer/request.ts'
import type { Canaries } from '../service/canaries.ts'
import type { Tracing } from '../trace/tracing.ts'
import { engineModel } from './engine-model.ts'
import { addEngineSpans } from './engine-spans.ts'

export interface AskDeps {
  readonly engines: Engines
  readonly blobs: Blobs
  readonly canaries: Pick<Canaries, 'observe'>
  readonly tracing: Tracing
}

interface Asked {
  readonly served: ServedVariant
  readonly questions: readonly Question[]
  readonly options: AskOptions
  /** Of the request. */
  readonly trace: TraceContext | undefined
}

/** @throws what `Engines.ask` throws */
export async function askEngines(
  { served, questions, options, trace }: Asked,
  { engines, blobs, canaries, tracing }: AskDeps
): Promise<Answer> {
  const began = performance.now()
  const observe = (failed: boolean | null): void => {
    if (failed !== null) canaries.observe(served, { failed, ms: performance.now() - began })
  }
  const { model, version, variant } = served
  const span = tracing.start('ask model', {
    parent: trace,
    attributes: {
      'whittle.model': model,
      'whittle.version': version,
      'whittle.variant': variant,
      'whittle.images': questions.length
    }
  })
  try {
    const traced = { ...options, trace: span.context }
    const answer = await engines.ask(engineModel(served, blobs), questions, traced)
    addEngineSpans(tracing, span.context, answer.runs)
    observe(hasFailed(answer.verdicts))
    return answer
  } catch (error) {
    observe(options.signal.aborted ? null : isOurs(error, options))
    span.fail(error instanceof ServiceError ? error.code : 'INTERNAL')
    throw error
  } finally {
    span.end()
  }
}

/**
 * Whether a request speaks against the model: null says nothing, as where every image was refused.
 *
 * An image that ends engines counts when it does so. Sent again it is refused before it reaches one, or a
 * single caller could have any canary rolled back.
 */
export function hasFailed(verdicts: readonly Verdict[]): boolean | null {
  if (verdicts.some(isCrash)) return true
  return verdicts.some((verdict) => !('code' in verdict)) ? false : null
}

const isCrash = (verdict: Verdict): boolean =>
  'code' in verdict && verdict.code === 'ENGINE_CRASHED' && verdict.isKnown === undefined

/**
 * A model that cannot be loaded, keeps ending or is too slow for our deadline has failed. A full line, places
 * that other models have taken, the end of the service and a deadline of the caller's own are not its doing.
 */
export function isOurs(
  error: unknown,
  { deadlineMs }: Pick<AskOptions, 'deadlineMs'>
): true | null {
  if (!(error instanceof ServiceError)) return true
  if (error.code === 'QUEUE_FULL' || error.code === 'SHUTTING_DOWN') return null
  if (error.isCrowdedOut) return null
  return deadlineMs === undefined ? true : null
}
