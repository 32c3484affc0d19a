import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { statisticsMomentum } from '../../../src/train/batch-norm-statistics.ts'
import { isBetter, isExhausted } from '../../../src/train/early-stopping.ts'
import { emaDecay } from '../../../src/train/ema.ts'
import { cosineRate } from '../../../src/train/schedule/cosine.ts'

const close = (actual: number, expected: number) =>
  assert.ok(Math.abs(actual - expected) < 1e-12, `${actual}, expected ${expected}`)

describe('cosineRate()', () => {
  const schedule = { peak: 0.8, warmupUpdates: 3, totalUpdates: 11 }
  it('climbs in equal steps to the peak', () => {
    const warmup = [0, 1, 2, 3].map((update) => cosineRate(schedule, update))
    for (const [i, rate] of [0.2, 0.4, 0.6, 0.8].entries()) close(warmup[i] as number, rate)
  })
  it('falls along half a cosine to zero', () => {
    close(cosineRate(schedule, 5), 0.4 * (1 + Math.SQRT1_2)) // a quarter of the way
    close(cosineRate(schedule, 7), 0.4)
    close(cosineRate(schedule, 9), 0.4 * (1 - Math.SQRT1_2))
    close(cosineRate(schedule, 11), 0)
    close(cosineRate(schedule, 99), 0)
  })
  it('starts at the peak without warm-up, and never leaves 0..peak', () => {
    close(cosineRate({ ...schedule, warmupUpdates: 0 }, 0), 0.8)
    for (let update = 0; update < 20; update++) {
      const rate = cosineRate({ peak: 0.8, warmupUpdates: 40, totalUpdates: 20 }, update)
      assert.ok(rate > 0 && rate < 0.8)
    }
  })
})

describe('emaDecay()', () => {
  it('warms up by (1 + t) / (10 + t) to the decay asked for', () => {
    close(emaDecay(0.9, 0), 0.1)
    close(emaDecay(0.9, 8), 0.5)
    close(emaDecay(0.9, 79), 80 / 89)
    close(emaDecay(0.9, 80), 0.9)
    close(emaDecay(0.9, 10_000), 0.9)
  })
})

describe('statisticsMomentum()', () => {
  it('is that of a plain mean until it reaches 0.9', () => {
    close(statisticsMomentum(0), 0)
    close(statisticsMomentum(1), 1 / 2)
    close(statisticsMomentum(3), 3 / 4)
    close(statisticsMomentum(9), 0.9)
    close(statisticsMomentum(1000), 0.9)
  })
})

describe('early stopping', () => {
  const best = { epoch: 4, accuracy: 0.9, loss: 0.3 }
  it('calls a higher accuracy better, of equal ones the lower loss', () => {
    assert.equal(isBetter({ accuracy: 0.1, loss: 9 }, null), true)
    assert.equal(isBetter({ accuracy: 0.91, loss: 9 }, best), true)
    assert.equal(isBetter({ accuracy: 0.9, loss: 0.29 }, best), true)
    assert.equal(isBetter({ accuracy: 0.9, loss: 0.3 }, best), false)
    assert.equal(isBetter({ accuracy: 0.89, loss: 0.1 }, best), false)
    assert.equal(isBetter({ accuracy: Number.NaN, loss: Number.NaN }, best), false)
  })
  it('is exhausted patience epochs after the best, never without patience', () => {
    assert.equal(isExhausted(best, 6, 3), false)
    assert.equal(isExhausted(best, 7, 3), true)
    assert.equal(isExhausted(best, 1000, undefined), false)
    assert.equal(isExhausted(null, 1000, 1), false)
  })
})
