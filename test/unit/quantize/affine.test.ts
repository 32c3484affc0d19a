import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { affine, roundTrip } from '../../../src/quantize/affine.ts'
import { quantizeWeights } from '../../../src/quantize/weights.ts'

describe('affine()', () => {
  it('spreads 256 levels over the range, computed by hand', () => {
    assert.deepEqual(affine({ low: 0, high: 255 }), { scale: 1, zeroPoint: 0 })
    assert.deepEqual(affine({ low: -128, high: 127 }), { scale: 1, zeroPoint: 128 })
  })
  it('widens a range without zero', () => {
    assert.deepEqual(affine({ low: 51, high: 255 }), { scale: 1, zeroPoint: 0 })
    assert.deepEqual(affine({ low: -255, high: -51 }), { scale: 1, zeroPoint: 255 })
  })
  it('takes a tensor that is always zero', () => {
    assert.equal(roundTrip(0, affine({ low: 0, high: 0 })), 0)
  })
  it('keeps zero exact and everything in the range within half a step', () => {
    const finite = fc.double({ min: -1e6, max: 1e6, noNaN: true })
    fc.assert(
      fc.property(finite, finite, fc.double({ min: 0, max: 1, noNaN: true }), (a, b, share) => {
        const [low, high] = [Math.min(a, b, 0), Math.max(a, b, 0)]
        fc.pre(high - low > 1e-3)
        const quantization = affine({ low, high })
        assert.equal(roundTrip(0, quantization) + 0, 0)
        const value = low + share * (high - low)
        // The zero point is rounded too, so an end may lie half a step outside.
        const error = Math.abs(value - roundTrip(value, quantization))
        assert.ok(error <= quantization.scale * 1.001, `${value} is off by ${error}`)
        assert.ok(Number.isInteger(quantization.zeroPoint))
        assert.ok(quantization.zeroPoint >= 0 && quantization.zeroPoint <= 255)
      })
    )
  })
  it('clips what lies outside', () => {
    const quantization = affine({ low: 0, high: 2.55 })
    assert.ok(Math.abs(roundTrip(99, quantization) - 2.55) < 1e-6)
    assert.equal(roundTrip(-1, quantization), 0)
  })
  it('rejects reversed and infinite ranges', () => {
    assert.throws(() => affine({ low: 1, high: 0 }), RangeError)
    assert.throws(() => affine({ low: 0, high: Number.POSITIVE_INFINITY }), RangeError)
    assert.throws(() => affine({ low: Number.NaN, high: 1 }), RangeError)
  })
})

describe('quantizeWeights()', () => {
  it('scales every output channel by its own largest weight', () => {
    const kernel = Float32Array.of(1.27, -12.7, 0.636, 6.3, -1.27, 0) // [3, 2]
    const { kernel: k, bias } = quantizeWeights(kernel, {
      channels: 2,
      inputScale: 0.5,
      bias: Float32Array.of(1, -2)
    })
    assert.deepEqual([...k.data], [127, -127, 64, 63, -127, 0])
    assert.ok(Math.abs((k.scales[0] ?? 0) - 0.01) < 1e-8)
    assert.ok(Math.abs((k.scales[1] ?? 0) - 0.1) < 1e-8)
    assert.deepEqual([...(bias?.data ?? [])], [200, -40])
    assert.deepEqual([...(bias?.scales ?? [])], [...k.scales.map((s) => s * 0.5)])
  })
  it('raises the scale of a channel whose bias would leave the accumulator', () => {
    const { kernel, bias } = quantizeWeights(Float32Array.of(1e-9, 1), {
      channels: 2,
      inputScale: 0.01,
      bias: Float32Array.of(5, 5)
    })
    assert.ok(Math.abs(bias?.data[0] ?? 0) <= 2 ** 30 + 64)
    assert.ok(Math.abs((bias?.data[0] ?? 0) * (bias?.scales[0] ?? 0) - 5) < 1e-5)
    assert.ok(Math.abs((kernel.scales[1] ?? 0) - 1 / 127) < 1e-8) // the other channel is left alone
  })
  it('keeps the bias of a channel without weights', () => {
    const { kernel, bias } = quantizeWeights(Float32Array.of(0, 0), {
      channels: 1,
      inputScale: 1,
      bias: Float32Array.of(-3)
    })
    assert.deepEqual([...kernel.data], [0, 0])
    assert.ok(Math.abs((bias?.data[0] ?? 0) * (bias?.scales[0] ?? 0) + 3) < 1e-5)
    const dead = quantizeWeights(Float32Array.of(0), { channels: 1, inputScale: 1 })
    assert.deepEqual([...dead.kernel.scales], [1])
  })
  it('rejects weights and biases that are not finite', () => {
    const options = { channels: 1, inputScale: 1 }
    assert.throws(() => quantizeWeights(Float32Array.of(Number.NaN), options), RangeError)
    const bias = Float32Array.of(Number.POSITIVE_INFINITY)
    assert.throws(() => quantizeWeights(Float32Array.of(1), { ...options, bias }), RangeError)
  })
})
