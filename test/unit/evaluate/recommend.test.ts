import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { recommend } from '../../../src/evaluate/recommend.ts'
import { type MeasuredVariant, variantReports } from '../../../src/evaluate/report.ts'
import { wilson } from '../../../src/evaluate/wilson.ts'

const machine = { cpu: 'test', features: [], onnxruntime: '0' }

/** A variant that takes `medianMs` and answers the first `wrong` of `n` images wrongly. */
function variant(medianMs: number, wrong: number, n = 1000, noisy = false): MeasuredVariant {
  const correct = new Uint8Array(n).fill(1).fill(0, 0, wrong)
  const evaluation = {
    accuracy: { value: 1 - wrong / n, ci95: wilson(n - wrong, n), images: n },
    correct,
    confusion: [
      [n - wrong, wrong],
      [0, 0]
    ],
    calibrationError: 0,
    crossEntropy: 0
  }
  return {
    from: null,
    file: 'x.onnx',
    bytes: 1000 * medianMs,
    parameters: 1,
    macs: 1,
    validation: evaluation,
    test: evaluation,
    reference: null,
    latency: { batch: 1, threads: 1, medianMs, p90Ms: medianMs, runs: 300, noisy, machine }
  }
}

describe('recommend()', () => {
  it('takes the fastest variant within the tolerance', () => {
    const variants = { baseline: variant(2.1, 10), pruned: variant(1.5, 10), int8: variant(1, 11) }
    assert.deepEqual(recommend({ variants }), {
      recommended: 'int8',
      recommendation:
        '2.1x faster than baseline, accuracy drop 0.1 points on validation (undecidable below 0.4)'
    })
  })
  it('passes over a faster variant that loses too much', () => {
    const variants = { baseline: variant(2, 10), pruned: variant(1.5, 12), int8: variant(1, 16) }
    assert.equal(recommend({ variants }).recommended, 'pruned')
  })
  it('accepts a drop of exactly the tolerance and not one image more', () => {
    const at = (wrong: number) =>
      recommend({ variants: { baseline: variant(2, 10), int8: variant(1, wrong) } }).recommended
    assert.deepEqual([at(15), at(16)], ['int8', 'baseline'])
  })
  it('allows one image on a small split', () => {
    const at = (wrong: number) =>
      recommend({ variants: { baseline: variant(2, 0, 20), int8: variant(1, wrong, 20) } })
        .recommended
    assert.deepEqual([at(1), at(2)], ['int8', 'baseline'])
  })
  it('never recommends a slower variant, and says why', () => {
    const variants = { baseline: variant(1, 10), int8: variant(1.3, 5), pruned: variant(0.5, 30) }
    assert.deepEqual(recommend({ variants }), {
      recommended: 'baseline',
      recommendation:
        'no variant is faster than baseline and within 0.5 points of its validation accuracy (int8: 1.3x slower, accuracy gain 0.5 points; pruned: 2.0x faster, accuracy drop 2.0 points)'
    })
  })
  it('does not round a factor up', () => {
    const variants = { baseline: variant(1.99, 10), int8: variant(1, 10) }
    assert.match(recommend({ variants }).recommendation, /^1\.9x faster/)
  })
  it('says that latency was noisy, whichever variant it was', () => {
    const variants = { baseline: variant(2, 10, 1000, true), int8: variant(1, 10) }
    assert.match(recommend({ variants }).recommendation, /busy host$/)
  })
  it('recommends a baseline that is alone', () => {
    assert.deepEqual(recommend({ variants: { baseline: variant(1, 1) } }), {
      recommended: 'baseline',
      recommendation: 'the only variant'
    })
  })
})

describe('variantReports()', () => {
  it('cuts ratios to three decimals, and never up', () => {
    const faster = (baseline: number, other: number) =>
      variantReports({ baseline: variant(baseline, 1), int8: variant(other, 1) }, ['a', 'b']).int8
        ?.versusBaseline.faster
    assert.equal(faster(0.0763, 0.0371), 2.056) // 2.05660...
    assert.equal(faster(0.0371, 0.0763), 0.486) // 0.48623...
    assert.equal(faster(1.9999, 1), 1.999)
    for (let i = 1; i < 2000; i++) {
      const cut = faster(i, 1000) ?? Number.NaN
      assert.ok(cut <= i / 1000 && cut > i / 1000 - 0.001 - 1e-9, `${cut} for ${i / 1000}`)
      assert.equal(cut, Number(cut.toFixed(3)))
    }
  })
  it('compares every variant with the baseline on the test split', () => {
    const reports = variantReports({ baseline: variant(2, 10), int8: variant(1, 12) }, ['a', 'b'])
    assert.deepEqual(reports.baseline?.versusBaseline.faster, 1)
    assert.deepEqual(reports.int8?.versusBaseline.faster, 2)
    assert.deepEqual(reports.int8?.versusBaseline.smaller, 2)
    assert.equal(reports.int8?.versusBaseline.accuracyDrop.value, 2 / 1000)
    assert.deepEqual(reports.int8?.perClass[1], {
      label: 'b',
      precision: 0,
      recall: null,
      images: 0
    })
  })
})
