/**
 * The variables of OpenTelemetry that decide whether and what is traced
 * (opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables). Where spans are sent, with
 * which headers and as what service is read by its packages themselves.
 */

export const samplers = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio'
] as const

export const protocols = ['http/protobuf', 'http/json'] as const

export interface TraceSettings {
  readonly protocol: (typeof protocols)[number]
  readonly sampler: (typeof samplers)[number]
  /** Share of traces, for the samplers that take one. */
  readonly ratio: number
  /** Of the queue before the collector; the usual ones of the packages when undefined. */
  readonly delayMs: number | undefined
  readonly queueSize: number | undefined
  readonly batchSize: number | undefined
}

type Environment = Readonly<Record<string, string | undefined>>

/** Settings null: nothing is to be traced. Faults: a line for each variable that cannot be used. */
export function readTraceSettings(env: Environment): {
  readonly settings: TraceSettings | null
  readonly faults: readonly string[]
} {
  const given = (name: string): string | undefined => env[name]?.trim() || undefined
  const isOff =
    given('OTEL_SDK_DISABLED')?.toLowerCase() === 'true' || given('OTEL_TRACES_EXPORTER') === 'none'
  const endpointName = ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'OTEL_EXPORTER_OTLP_ENDPOINT'].find(
    (name) => given(name) !== undefined
  )
  if (isOff || endpointName === undefined) return { settings: null, faults: [] }

  const faults: string[] = []
  const fault = (name: string, wanted: string): void =>
    void faults.push(`${name} must be ${wanted}, received "${given(name)}"`)
  if (!isHttp(given(endpointName) ?? ''))
    faults.push(`${endpointName} must be an http or https URL`)
  const oneOf = <T extends string>(name: string, values: readonly T[], usual: T): T => {
    const value = given(name) ?? usual
    const found = values.find((one) => one === value)
    if (found === undefined) fault(name, `one of ${values.join(', ')}`)
    return found ?? usual
  }
  const count = (name: string): number | undefined => {
    const value = given(name)
    if (value === undefined || /^[1-9]\d{0,6}$/.test(value))
      return (value && Number(value)) || undefined
    fault(name, 'an integer from 1 to 9999999')
    return undefined
  }
  const ratioName = 'OTEL_TRACES_SAMPLER_ARG'
  const ratio = Number(given(ratioName) ?? 1)
  if (!(ratio >= 0 && ratio <= 1)) fault(ratioName, 'a number from 0 to 1')
  const protocolName =
    given('OTEL_EXPORTER_OTLP_TRACES_PROTOCOL') === undefined
      ? 'OTEL_EXPORTER_OTLP_PROTOCOL'
      : 'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL'
  const settings: TraceSettings = {
    protocol: oneOf(protocolName, protocols, 'http/protobuf'),
    sampler: oneOf('OTEL_TRACES_SAMPLER', samplers, 'parentbased_always_on'),
    ratio,
    delayMs: count('OTEL_BSP_SCHEDULE_DELAY'),
    queueSize: count('OTEL_BSP_MAX_QUEUE_SIZE'),
    batchSize: count('OTEL_BSP_MAX_EXPORT_BATCH_SIZE')
  }
  return { settings, faults }
}

function isHttp(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)
}
