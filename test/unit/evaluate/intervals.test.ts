import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { pairedDrop } from '../../../src/evaluate/paired-drop.ts'
import { wilson, z95 } from '../../../src/evaluate/wilson.ts'

const close = (actual: number, expected: number, tolerance: number) =>
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual} is not ${expected} ± ${tolerance}`)

/** Answers with `both` right in both, `b` only in the first, `c` only in the second, rest in none. */
function answers(n: number, both: number, b: number, c: number): [Uint8Array, Uint8Array] {
  const first = new Uint8Array(n)
  const second = new Uint8Array(n)
  first.fill(1, 0, both + b)
  second.fill(1, 0, both).fill(1, both + b, both + b + c)
  return [first, second]
}

/** Standard uniform numbers from a seed (mulberry32). */
function uniform(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

describe('wilson()', () => {
  it('gives the published interval for 81 of 263 (Newcombe 1998, table I)', () => {
    const [low, high] = wilson(81, 263)
    close(low, 0.2553, 5e-5)
    close(high, 0.3662, 5e-5)
  })
  it('stays inside 0..1 and is one-sided at the ends', () => {
    assert.deepEqual([wilson(0, 20)[0], wilson(20, 20)[1]], [0, 1])
    close(wilson(0, 20)[1], 0.1611, 5e-5)
  })
  it('rejects impossible counts', () => {
    assert.throws(() => wilson(3, 2), RangeError)
    assert.throws(() => wilson(0, 0), RangeError)
    assert.throws(() => wilson(-1, 2), RangeError)
  })
})

describe('pairedDrop()', () => {
  it('is ± z²/(n + z²) when no image tells the two apart', () => {
    const { value, ci95 } = pairedDrop(...answers(1000, 990, 0, 0))
    assert.equal(value, 0)
    const half = z95 ** 2 / (1000 + z95 ** 2)
    close(ci95[0], -half, 1e-9)
    close(ci95[1], half, 1e-9)
  })
  it("approaches Wald's interval on many images (227, 132, 107, 678 of Agresti and Min 2005)", () => {
    const [b, c, n] = [132, 107, 1144]
    const { value, ci95 } = pairedDrop(...answers(n, 227, b, c))
    const error = (z95 * Math.sqrt(b + c - (b - c) ** 2 / n)) / n
    close(value, 25 / 1144, 1e-12)
    close(ci95[0], value - error, 1e-3)
    close(ci95[1], value + error, 1e-3)
  })
  it('changes sign when the two are exchanged', () => {
    const [first, second] = answers(500, 400, 12, 3)
    const forth = pairedDrop(first, second)
    const back = pairedDrop(second, first)
    assert.equal(back.value, -forth.value)
    close(back.ci95[0], -forth.ci95[1], 1e-9)
    close(back.ci95[1], -forth.ci95[0], 1e-9)
  })
  it('covers the true drop in about 95 % of samples', () => {
    const random = uniform(7)
    const [b, c, n, samples] = [0.02, 0.01, 1000, 400]
    let covered = 0
    for (let s = 0; s < samples; s++) {
      const counts = [0, 0]
      for (let i = 0; i < n; i++) {
        const u = random()
        if (u < b) counts[0] = (counts[0] ?? 0) + 1
        else if (u < b + c) counts[1] = (counts[1] ?? 0) + 1
      }
      const { ci95 } = pairedDrop(...answers(n, 900, counts[0] ?? 0, counts[1] ?? 0))
      if (ci95[0] <= b - c && b - c <= ci95[1]) covered++
    }
    assert.ok(covered / samples > 0.92 && covered / samples < 0.98, `covered ${covered / samples}`)
  })
  it('reaches the ends: everything right against everything wrong', () => {
    const { value, ci95 } = pairedDrop(...answers(10, 0, 10, 0))
    assert.equal(value, 1)
    const t = z95 ** 2 / 10 // with c = 0 and b = n the score is sqrt(n(1 - d)/(1 + d))
    close(ci95[0], (1 - t) / (1 + t), 1e-9)
    assert.equal(ci95[1], 1)
  })
  it('rejects answers of different lengths, and none', () => {
    assert.throws(() => pairedDrop(new Uint8Array(2), new Uint8Array(3)), RangeError)
    assert.throws(() => pairedDrop(new Uint8Array(0), new Uint8Array(0)), RangeError)
  })
})
