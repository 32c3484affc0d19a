import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Latency } from '../../../src/contract/report.ts'
import { writeAnswers } from '../../../src/evaluate/answer-bits.ts'
import { wilson } from '../../../src/evaluate/wilson.ts'
import { compareGate, type Measured } from '../../../src/service/gate.ts'

const latency: Latency = {
  batch: 1,
  threads: 1,
  medianMs: 1,
  p90Ms: 1.2,
  runs: 300,
  noisy: false,
  machine: { cpu: 'test', features: [], onnxruntime: '1' }
}
const digits = { id: 'ds_1', name: 'digits', version: 1 }

interface Sketch {
  /** Of 1000 images, wrong are the first ones from here on, ... */
  readonly from?: number
  /** ... so many. */
  readonly wrong: number
  readonly dataset?: Measured['dataset']
  readonly changes?: Partial<Measured['report']>
}

function measured({ from = 0, wrong, dataset = digits, changes = {} }: Sketch): Measured {
  const correct = Uint8Array.from({ length: 1000 }, (_, i) => +(i < from || i >= from + wrong))
  const right = 1000 - wrong
  return {
    dataset,
    report: {
      bytes: 1000,
      accuracy: { validation: { value: right / 1000, ci95: wilson(right, 1000), images: 1000 } },
      validationAnswers: writeAnswers(correct),
      latency,
      ...changes
    }
  }
}

test('compareGate() lists the bounds that were asked for, and nothing else', () => {
  const pair = { candidate: measured({ wrong: 10 }), serving: null }
  assert.deepEqual(compareGate({}, pair), [])
  assert.deepEqual(compareGate({ certain: true }, pair), [])
  assert.deepEqual(compareGate({ maxSizeBytes: 1000, minAccuracy: 0.99 }, pair), [
    {
      bound: 'minAccuracy',
      allowed: 0.99,
      measured: 0.99,
      ci95: wilson(990, 1000),
      passed: true,
      detail: 'at least 0.99 is wanted: 0.99, 95 % 0.9817 to 0.9946, on 1000 images of validation'
    },
    {
      bound: 'maxSizeBytes',
      allowed: 1000,
      measured: 1000,
      passed: true,
      detail: 'at most 1000 bytes: 1000'
    }
  ])
})

test('compareGate() decides accuracy by the estimate, or by the whole interval', () => {
  const pair = { candidate: measured({ wrong: 10 }), serving: measured({ wrong: 5 }) }
  const passes = (gate: Parameters<typeof compareGate>[0]) => compareGate(gate, pair)[0]?.passed
  assert.equal(passes({ minAccuracy: 0.991 }), false)
  assert.equal(passes({ minAccuracy: 0.99, certain: true }), false)
  assert.equal(passes({ minAccuracy: 0.98, certain: true }), true)
  assert.equal(passes({ maxAccuracyDrop: 0.005 }), true)
  assert.equal(passes({ maxAccuracyDrop: 0.004 }), false)
  assert.equal(passes({ maxAccuracyDrop: 0.005, certain: true }), false)
  assert.equal(passes({ maxAccuracyDrop: 0.02, certain: true }), true)
})

test('compareGate() pairs answers to the same images, else takes the two intervals', () => {
  const serving = measured({ wrong: 20 })
  const width = (candidate: Measured) => {
    const [finding] = compareGate({ maxAccuracyDrop: 1 }, { candidate, serving })
    const [low = 0, high = 0] = finding?.ci95 ?? []
    return { width: high - low, how: finding?.detail.split(', ').slice(2).join(', ') ?? '' }
  }
  const paired = width(measured({ wrong: 21 }))
  assert.equal(paired.how, 'paired on 1000 images of validation')
  const unpaired = [
    measured({ wrong: 21, dataset: { ...digits, version: 2 } }),
    measured({ wrong: 21, dataset: { ...digits, id: 'ds_2' } }),
    measured({ wrong: 21, dataset: null }),
    measured({ wrong: 21, changes: { validationAnswers: null } }),
    measured({ wrong: 21, changes: { validationAnswers: 'AAAA' } })
  ]
  for (const candidate of unpaired) {
    const found = width(candidate)
    assert.equal(found.how, 'from two intervals, on 1000 and 1000 images of validation')
    assert.ok(found.width > 2 * paired.width, `${found.width} and ${paired.width}`)
  }
})

test('compareGate() never passes what was not measured or cannot be compared', () => {
  const whole = measured({ wrong: 5 })
  const other = { ...latency, machine: { ...latency.machine, cpu: 'other' } }
  const cases: readonly (readonly [
    Parameters<typeof compareGate>[0],
    Measured,
    Measured | null
  ])[] = [
    [{ minAccuracy: 0 }, measured({ wrong: 5, changes: { accuracy: null } }), whole],
    [{ minAccuracy: 0 }, { dataset: null, report: {} }, whole],
    [{ maxAccuracyDrop: 1 }, measured({ wrong: 5, changes: { accuracy: {} } }), whole],
    [{ maxAccuracyDrop: 1 }, whole, measured({ wrong: 5, changes: { accuracy: null } })],
    [{ maxAccuracyDrop: 1 }, whole, null],
    [{ maxLatencyRatio: 9 }, measured({ wrong: 5, changes: { latency: null } }), whole],
    [{ maxLatencyRatio: 9 }, whole, measured({ wrong: 5, changes: { latency: null } })],
    [{ maxLatencyRatio: 9 }, measured({ wrong: 5, changes: { latency: other } }), whole],
    [{ maxLatencyRatio: 9 }, whole, null],
    [{ maxSizeBytes: 1 }, { dataset: null, report: {} }, whole]
  ]
  for (const [gate, candidate, serving] of cases) {
    const [finding, ...rest] = compareGate(gate, { candidate, serving })
    assert.deepEqual(rest, [])
    assert.deepEqual([finding?.measured, finding?.passed], [null, false], String(finding?.detail))
    assert.match(finding?.detail ?? '', /never measured|could be compared|other conditions/)
  }
})

test('compareGate() compares latency and size', () => {
  const slower = measured({ wrong: 5, changes: { latency: { ...latency, medianMs: 1.1 } } })
  const passes = (gate: Parameters<typeof compareGate>[0]) =>
    compareGate(gate, { candidate: slower, serving: measured({ wrong: 5 }) })[0]?.passed
  assert.equal(passes({ maxLatencyRatio: 1.1 }), true)
  assert.equal(passes({ maxLatencyRatio: 1.09 }), false)
  assert.equal(passes({ maxSizeBytes: 999 }), false)
})
