import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readTraceSettings } from '../../../src/trace/settings.ts'

const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' }
const usual = {
  protocol: 'http/protobuf',
  sampler: 'parentbased_always_on',
  ratio: 1,
  delayMs: undefined,
  queueSize: undefined,
  batchSize: undefined
}

test('readTraceSettings() traces nothing without a collector, or when it is told to', () => {
  const off: readonly Record<string, string>[] = [
    {},
    { OTEL_EXPORTER_OTLP_ENDPOINT: ' ' },
    { OTEL_TRACES_SAMPLER: 'nonsense' },
    { ...endpoint, OTEL_SDK_DISABLED: 'TRUE' },
    { ...endpoint, OTEL_TRACES_EXPORTER: 'none', OTEL_TRACES_SAMPLER: 'nonsense' }
  ]
  for (const env of off) assert.deepEqual(readTraceSettings(env), { settings: null, faults: [] })
})

test('readTraceSettings() takes the standard variables', () => {
  assert.deepEqual(readTraceSettings(endpoint), { settings: usual, faults: [] })
  const traces = { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://collector/v1/traces' }
  const chosen = {
    ...traces,
    OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf',
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'http/json',
    OTEL_TRACES_SAMPLER: 'traceidratio',
    OTEL_TRACES_SAMPLER_ARG: '0.25',
    OTEL_BSP_SCHEDULE_DELAY: '100',
    OTEL_BSP_MAX_QUEUE_SIZE: '10',
    OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '5'
  }
  assert.deepEqual(readTraceSettings(chosen), {
    settings: {
      protocol: 'http/json',
      sampler: 'traceidratio',
      ratio: 0.25,
      delayMs: 100,
      queueSize: 10,
      batchSize: 5
    },
    faults: []
  })
  assert.deepEqual(readTraceSettings({ ...traces, OTEL_TRACES_SAMPLER: '' }).settings, usual)
})

test('readTraceSettings() names every variable that cannot be used', () => {
  const { faults } = readTraceSettings({
    OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4318',
    OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
    OTEL_TRACES_SAMPLER: 'jaeger_remote',
    OTEL_TRACES_SAMPLER_ARG: '50%',
    OTEL_BSP_SCHEDULE_DELAY: '-1'
  })
  assert.deepEqual(faults, [
    'OTEL_EXPORTER_OTLP_ENDPOINT must be an http or https URL',
    'OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1, received "50%"',
    'OTEL_EXPORTER_OTLP_PROTOCOL must be one of http/protobuf, http/json, received "grpc"',
    'OTEL_TRACES_SAMPLER must be one of always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off, parentbased_traceidratio, received "jaeger_remote"',
    'OTEL_BSP_SCHEDULE_DELAY must be an integer from 1 to 9999999, received "-1"'
  ])
})
