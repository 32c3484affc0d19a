/**
 * Spans as the rooms make them: what was done, from when to when, as part of what.
 *
 * Parents are handed on by value, within a process as between processes. Without a collector every span is
 * the same empty one, and nothing else is loaded (`open-tracing.ts`).
 */
import type { TraceContext } from '../contract/trace.ts'

export type Attributes = Readonly<Record<string, string | number | boolean | undefined>>

export interface SpanOptions {
  /** @default 'internal' */
  readonly kind?: 'internal' | 'server' | 'client' | 'producer' | 'consumer'
  /** @default none: the span begins a trace */
  readonly parent?: TraceContext | undefined
  readonly links?: readonly TraceContext[]
  readonly attributes?: Attributes
  /** On the clock of performance.now(). @default now */
  readonly since?: number
}

export interface Span {
  /** For spans that are part of this one; undefined without a collector. */
  readonly context: TraceContext | undefined
  readonly traceId: string | undefined
  set(attributes: Attributes): void
  name(name: string): void
  /** Says that what was done has failed; `type` is one of few. */
  fail(type: string, detail?: string): void
  /** Once more is no harm. @param until - on the clock of performance.now(). @default now */
  end(until?: number): void
}

export interface Tracing {
  /** Whether spans lead anywhere. */
  readonly isOn: boolean
  start(name: string, options?: SpanOptions): Span
  /** Sends what has not been sent, if that is soon done. */
  close(): Promise<void>
}

const noSpan: Span = Object.freeze({
  context: undefined,
  traceId: undefined,
  set() {},
  name() {},
  fail() {},
  end() {}
})

export const noTracing: Tracing = Object.freeze({
  isOn: false,
  start: () => noSpan,
  close: async () => {}
})
