/** The stages of an attempt as spans: a stage lasts until the trainer tells of another one. */
import type { Stage } from '../contract/job.ts'
import type { TraceContext } from '../contract/trace.ts'
import type { Span, Tracing } from '../trace/tracing.ts'

export class StageSpans {
  readonly #tracing: Tracing
  readonly #parent: TraceContext | undefined
  #current: { readonly stage: Stage; readonly span: Span } | undefined

  constructor(tracing: Tracing, parent: TraceContext | undefined) {
    this.#tracing = tracing
    this.#parent = parent
  }

  at(stage: Stage): void {
    if (this.#current?.stage === stage) return
    this.end()
    const span = this.#tracing.start(`stage ${stage}`, {
      parent: this.#parent,
      attributes: { 'whittle.stage': stage }
    })
    this.#current = { stage, span }
  }

  /** To be called when the trainer has ended. */
  end(): void {
    this.#current?.span.end()
    this.#current = undefined
  }
}
