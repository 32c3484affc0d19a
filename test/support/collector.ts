/** A collector of traces: OTLP/HTTP, read where it is JSON, on a loopback port (opentelemetry.io/docs/specs/otlp/#otlphttp). */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import type { TestContext } from 'node:test'

export interface CollectedSpan {
  readonly service: string
  readonly traceId: string
  readonly spanId: string
  /** Empty for the first one of a trace. */
  readonly parentSpanId: string
  readonly name: string
  /** As the protocol numbers them: 1 internal, 2 server, 3 client, 4 producer, 5 consumer. */
  readonly kind: number
  /** Nanoseconds since 1970. */
  readonly start: bigint
  readonly end: bigint
  readonly attributes: Readonly<Record<string, unknown>>
  readonly links: readonly string[]
  readonly failed: boolean
}

export interface Collector {
  readonly url: string
  readonly spans: CollectedSpan[]
  /** What came in protobuf. */
  readonly raw: Buffer[]
  /** Headers of the newest export. */
  headers(): Readonly<Record<string, unknown>>
}

interface Pair {
  readonly key: string
  readonly value: Readonly<Record<string, unknown>>
}

interface Export {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Pair[] }
    readonly scopeSpans: readonly { readonly spans: readonly RawSpan[] }[]
  }[]
}

interface RawSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly kind: number
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly attributes?: readonly Pair[]
  readonly links?: readonly { readonly spanId: string }[]
  readonly status?: { readonly code?: number }
}

export async function startCollector(t: TestContext): Promise<Collector> {
  const spans: CollectedSpan[] = []
  const raw: Buffer[] = []
  let headers: Readonly<Record<string, unknown>> = {}
  const server = createServer(async (request, response) => {
    headers = { ...request.headers, path: request.url }
    const body = await buffer(request)
    if (request.headers['content-type'] !== 'application/json') {
      raw.push(body)
      response.end()
      return
    }
    const { resourceSpans }: Export = JSON.parse(body.toString())
    for (const { resource, scopeSpans } of resourceSpans) {
      const service = String(valuesOf(resource.attributes)['service.name'])
      for (const span of scopeSpans.flatMap((scope) => scope.spans)) spans.push(read(service, span))
    }
    response.setHeader('content-type', 'application/json').end('{}')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { url, spans, raw, headers: () => headers }
}

const valuesOf = (pairs: readonly Pair[] = []): Record<string, unknown> =>
  Object.fromEntries(
    pairs.map(({ key, value }) => {
      const [one] = Object.values(value)
      return [key, 'intValue' in value ? Number(one) : one]
    })
  )

const read = (service: string, raw: RawSpan): CollectedSpan => ({
  service,
  traceId: raw.traceId,
  spanId: raw.spanId,
  parentSpanId: raw.parentSpanId ?? '',
  name: raw.name,
  kind: raw.kind,
  start: BigInt(raw.startTimeUnixNano),
  end: BigInt(raw.endTimeUnixNano),
  attributes: valuesOf(raw.attributes),
  links: (raw.links ?? []).map(({ spanId }) => spanId),
  failed: raw.status?.code === 2
})

/** What the service is started with to send its traces here, soon. */
export const tracedTo = (url: string): Record<string, string> => ({
  OTEL_EXPORTER_OTLP_ENDPOINT: url,
  OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
  OTEL_BSP_SCHEDULE_DELAY: '50'
})
