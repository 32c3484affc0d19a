/**
 * Spans that are sent to a collector over OTLP/HTTP (opentelemetry.io/docs/specs/otlp), in batches and
 * behind everything else: what the collector does not take is lost.
 */
import {
  type Context,
  type Link,
  type Span as OtelSpan,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace
} from '@opentelemetry/api'
import { setGlobalErrorHandler, W3CTraceContextPropagator } from '@opentelemetry/core'
import {
  defaultResource,
  detectResources,
  envDetector,
  resourceFromAttributes
} from '@opentelemetry/resources'
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type Sampler,
  TraceIdRatioBasedSampler,
  TracerProvider
} from '@opentelemetry/sdk-trace'
import type { TraceContext } from '../contract/trace.ts'
import type { TraceSettings } from './settings.ts'
import type { Span, SpanOptions, Tracing } from './tracing.ts'

export interface OtlpOptions {
  readonly settings: TraceSettings
  /** Name of the service unless the environment gives another. */
  readonly service: string
  readonly version: string
  /** Told of whatever keeps spans from the collector. */
  readonly onError: (error: Error) => void
}

/** The service does not wait longer for a collector when it ends. */
const farewellMs = 1000

export async function otlpTracing(options: OtlpOptions): Promise<Tracing> {
  const { settings, service, version, onError } = options
  const exporter = await exporterFor(settings.protocol)
  setGlobalErrorHandler((error) => onError(asError(error)))
  const resource = defaultResource()
    .merge(
      resourceFromAttributes({
        'service.name': service,
        'service.version': version,
        'service.instance.id': `${process.pid}`
      })
    )
    .merge(detectResources({ detectors: [envDetector] }))
  const { delayMs, queueSize, batchSize } = settings
  const processor = new BatchSpanProcessor({
    exporter,
    ...(delayMs === undefined ? {} : { scheduledDelayMillis: delayMs }),
    ...(queueSize === undefined ? {} : { maxQueueSize: queueSize }),
    ...(batchSize === undefined ? {} : { maxExportBatchSize: batchSize })
  })
  const sampler = samplerOf(settings)
  const provider = new TracerProvider({ resource, sampler, spanProcessors: [processor] })
  const tracer = provider.getTracer('whittle', version)
  return {
    isOn: true,
    start(name, options: SpanOptions = {}) {
      const { kind = 'internal', parent, links = [], attributes = {} } = options
      const { since = performance.now() } = options
      const span = tracer.startSpan(
        name,
        {
          kind: kinds[kind],
          attributes,
          links: links.flatMap(linkTo),
          startTime: wallTime(since)
        },
        contextOf(parent)
      )
      return wrap(span)
    },
    async close() {
      const { promise: late, resolve } = Promise.withResolvers<void>()
      const timer = setTimeout(resolve, farewellMs)
      await Promise.race([provider.shutdown().catch((error) => onError(asError(error))), late])
      clearTimeout(timer)
    }
  }
}

/** Only the one that is needed is loaded. */
async function exporterFor(protocol: TraceSettings['protocol']) {
  const { OTLPTraceExporter } = await (protocol === 'http/json'
    ? import('@opentelemetry/exporter-trace-otlp-http')
    : import('@opentelemetry/exporter-trace-otlp-proto'))
  return new OTLPTraceExporter()
}

const kinds = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER
} as const

function samplerOf({ sampler, ratio }: TraceSettings): Sampler {
  const root = /ratio$/.test(sampler)
    ? new TraceIdRatioBasedSampler(ratio)
    : /off$/.test(sampler)
      ? new AlwaysOffSampler()
      : new AlwaysOnSampler()
  return sampler.startsWith('parentbased_') ? new ParentBasedSampler({ root }) : root
}

function wrap(span: OtelSpan): Span {
  const { traceId } = span.spanContext()
  return {
    context: carrierOf(trace.setSpan(ROOT_CONTEXT, span)),
    traceId,
    set: (attributes) => void span.setAttributes(attributes),
    name: (name) => void span.updateName(name),
    fail(type, detail) {
      span.setAttribute('error.type', type)
      span.setStatus({
        code: SpanStatusCode.ERROR,
        ...(detail === undefined ? {} : { message: detail })
      })
    },
    end(until = performance.now()) {
      if (span.isRecording()) span.end(wallTime(until))
    }
  }
}

const propagator = new W3CTraceContextPropagator()

function contextOf(carrier: TraceContext | undefined): Context {
  if (carrier === undefined) return ROOT_CONTEXT
  return propagator.extract(ROOT_CONTEXT, carrier, {
    keys: (from: TraceContext) => Object.keys(from),
    get: (from: TraceContext, key) => from[key as keyof TraceContext]
  })
}

function carrierOf(context: Context): TraceContext {
  const carrier: { traceparent: string; tracestate?: string } = { traceparent: '' }
  propagator.inject(context, carrier, {
    set: (into: typeof carrier, key, value) => {
      into[key as keyof typeof carrier] = value
    }
  })
  return carrier
}

function linkTo(carrier: TraceContext): Link[] {
  const context = trace.getSpanContext(contextOf(carrier))
  return context === undefined ? [] : [{ context }]
}

const readOffset = (): number => Date.now() - performance.now()
/** The clock of the day is read in whole milliseconds, and may be set: small differences are not followed. */
const bearableMs = 50
let offset = readOffset()

/** Milliseconds since 1970 of a time on the clock of performance.now(). Order is kept. */
function wallTime(at: number): number {
  const now = readOffset()
  if (Math.abs(now - offset) > bearableMs) offset = now
  return at + offset
}

const asError = (error: unknown): Error =>
  error instanceof Error ? error : new Error(String(error))
