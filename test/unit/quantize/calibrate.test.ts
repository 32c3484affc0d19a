import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Range } from '../../../src/quantize/affine.ts'
import { affine, roundTrip } from '../../../src/quantize/affine.ts'
import { entropy } from '../../../src/quantize/calibrate/entropy.ts'
import {
  count,
  emptyHistogram,
  extend,
  type Histogram
} from '../../../src/quantize/calibrate/histogram.ts'
import { minmax } from '../../../src/quantize/calibrate/minmax.ts'
import { mse } from '../../../src/quantize/calibrate/mse.ts'
import { observe } from '../../../src/quantize/calibrate/observe.ts'
import { percentile } from '../../../src/quantize/calibrate/percentile.ts'
import { Random, randomKey } from '../../../src/tensor/random.ts'

const histogramOf = (values: Float32Array): Histogram =>
  count(emptyHistogram(extend({ low: 0, high: 0 }, values)), values)

/** Normal values, or their positive half, and a few outliers. */
function normal(n: number, { relu = false, outliers = [] as number[] } = {}): Float32Array {
  const random = new Random(randomKey(3, 'calibrate'))
  const values = Float32Array.from({ length: n }, () => random.normal())
  values.set(outliers)
  return relu ? values.map((v) => Math.max(0, v)) : values
}

const error = (values: Float32Array, range: Range): number => {
  const quantization = affine(range)
  return values.reduce((sum, v) => sum + (v - roundTrip(v, quantization)) ** 2, 0)
}

describe('Histogram', () => {
  it('counts every value once, exact zeros apart', () => {
    const histogram = histogramOf(Float32Array.of(-1, 0, 0, 0.5, 1, 1))
    assert.equal(histogram.zeros, 2)
    assert.equal(
      histogram.counts.reduce((a, b) => a + b),
      4
    )
    assert.equal(histogram.counts[0], 1)
    assert.equal(histogram.counts.at(-1), 2)
  })
  it('contains zero even when no value is near it', () => {
    assert.deepEqual(extend({ low: 0, high: 0 }, Float32Array.of(3, 5)), { low: 0, high: 5 })
  })
  it('rejects values that are not finite', () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      assert.throws(() => extend({ low: 0, high: 0 }, Float32Array.of(1, value)), RangeError)
    }
  })
})

const all = { minmax, percentile, entropy, mse }
for (const [name, calibrate] of Object.entries(all)) {
  describe(`${name}()`, () => {
    it('stays within what was seen and contains zero', () => {
      for (const relu of [false, true]) {
        const histogram = histogramOf(normal(20_000, { relu, outliers: [9, -7] }))
        const { low, high } = calibrate(histogram)
        assert.ok(low >= histogram.low && low <= 0, `low ${low}`)
        assert.ok(high <= histogram.high && high > 0, `high ${high}`)
        if (relu) assert.equal(low, 0)
      }
    })
    it('takes a tensor that is always zero', () => {
      assert.deepEqual(calibrate(histogramOf(new Float32Array(10))), { low: 0, high: 0 })
    })
  })
}

describe('minmax()', () => {
  it('clips nothing', () => {
    const values = normal(1000, { outliers: [50, -20] })
    assert.deepEqual(minmax(histogramOf(values)), { low: -20, high: 50 })
  })
})

describe('percentile()', () => {
  it('drops one value in a hundred thousand, shared between the tails', () => {
    // 400,000 values: 4 may go, 2 on each side.
    const values = normal(400_000, { outliers: [60, 50, 40, -50, -45, -40] })
    const { low, high } = percentile(histogramOf(values))
    assert.ok(Math.abs(high - 40) < 0.2, `high ${high}`)
    assert.ok(Math.abs(low + 40) < 0.2, `low ${low}`)
  })
  it('counts zeros among the values', () => {
    const values = new Float32Array(400_000)
    values.set([90, 80, 70, 60, 50])
    const { high } = percentile(histogramOf(values)) // one tail: 4 may go
    assert.ok(Math.abs(high - 50) < 0.1, `high ${high}`)
  })
})

describe('mse()', () => {
  it('is never worse than the full range, and better where outliers stretch it', () => {
    const both = normal(400_000, { outliers: [12, 12, -12] })
    assert.ok(error(both, mse(histogramOf(both))) < 0.8 * error(both, minmax(histogramOf(both))))
    const positive = normal(100_000, { relu: true })
    const full = error(positive, minmax(histogramOf(positive)))
    assert.ok(error(positive, mse(histogramOf(positive))) <= 1.01 * full)
  })
  it('keeps the full range of evenly spread values', () => {
    const values = Float32Array.from({ length: 20_000 }, (_, i) => i / 10_000 - 1)
    const { low, high } = mse(histogramOf(values))
    assert.ok(low < -0.98 && high > 0.98, `${low}..${high}`)
  })
})

describe('entropy()', () => {
  it('cuts far outliers off and keeps the body', () => {
    const { low, high } = entropy(histogramOf(normal(200_000, { outliers: [40, -35] })))
    assert.ok(high > 2.5 && high < 15, `high ${high}`)
    assert.ok(low < -2.5 && low > -15, `low ${low}`)
  })
  it('keeps the full range of evenly spread values', () => {
    const values = Float32Array.from({ length: 200_000 }, (_, i) => (i + 1) / 200_000)
    const { low, high } = entropy(histogramOf(values))
    assert.equal(low, 0)
    assert.ok(high > 0.98, `high ${high}`)
  })
})

describe('observe()', () => {
  const source = {
    count: 7,
    size: 1,
    channels: 1 as const,
    labels: new Int32Array(7),
    read(positions: ArrayLike<number>, into: Uint8Array) {
      for (let i = 0; i < positions.length; i++) into[i] = positions[i] ?? 0
    }
  }
  it('runs exactly the images asked for, whatever the batch size', async () => {
    for (const batchSize of [1, 2, 64]) {
      const histograms = await observe({
        source,
        positions: [1, 4, 6],
        tensors: ['x'],
        batchSize,
        runFloat: async (images, n) => new Map([['x', Float32Array.from(images.subarray(0, n))]])
      })
      const histogram = histograms.get('x')
      assert.deepEqual([histogram?.low, histogram?.high], [0, 6])
      assert.equal(
        histogram?.counts.reduce((a, b) => a + b),
        3
      )
    }
  })
  it('rejects a run that leaves a tensor out', async () => {
    const run = observe({
      source,
      positions: [0],
      tensors: ['x'],
      batchSize: 1,
      runFloat: async () => new Map()
    })
    await assert.rejects(run, /no values for x/)
  })
})
