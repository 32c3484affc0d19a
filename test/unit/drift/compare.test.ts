import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { DriftAspect, Sketch } from '../../../src/contract/sketch.ts'
import { compare } from '../../../src/drift/compare.ts'
import { addImage, emptySketch } from '../../../src/drift/sketch.ts'
import { Random, randomKey } from '../../../src/tensor/random.ts'

const labels = Array.from({ length: 10 }, (_, i) => `class ${i}`)

interface Look {
  readonly brightness?: number
  readonly predicted?: (u: number) => number
  readonly classes?: number
}

/** `n` images of one distribution, but for what `look` changes. */
function sample(
  random: Random,
  n: number,
  { brightness = 110, predicted = (u) => u, classes = 10 }: Look = {}
): Sketch {
  const sketch = emptySketch(classes, 3)
  const normal = () =>
    Math.sqrt(-2 * Math.log(1 - random.uniform())) * Math.cos(2 * Math.PI * random.uniform())
  for (let i = 0; i < n; i += 1) {
    addImage(sketch, {
      predicted: Math.floor(predicted(random.uniform()) * classes),
      score: 1 - Math.min(0.9, Math.exp(-6 + 2 * normal())),
      brightness: brightness + 25 * normal(),
      contrast: 50 + 12 * normal(),
      channels: [110, 100, 90].map((mean) => mean + 30 * normal())
    })
  }
  return sketch
}

const over = (reference: Sketch, served: Sketch): DriftAspect[] =>
  compare(reference, served, labels)
    .filter(({ score, threshold }) => score > threshold)
    .map(({ aspect }) => aspect)

describe('compare()', () => {
  it('finds nothing between a sketch and itself', () => {
    const sketch = sample(new Random(randomKey(1, 'drift')), 500)
    for (const { score, cells } of compare(sketch, sketch, labels)) {
      assert.equal(score, 0)
      for (const { reference, served } of cells) assert.equal(reference, served)
      const sum = cells.reduce((total, { reference }) => total + reference, 0)
      assert.ok(Math.abs(sum - 1) < 1e-9)
    }
  })
  it('sees the aspect that has changed, and no other', () => {
    const random = new Random(randomKey(2, 'drift'))
    const reference = sample(random, 1000)
    assert.deepEqual(over(reference, sample(random, 500)), [])
    assert.deepEqual(over(reference, sample(random, 500, { brightness: 130 })), ['brightness'])
    const skewed = sample(random, 500, { predicted: (u) => u ** 3 })
    assert.deepEqual(over(reference, skewed), ['classes'])
  })
  it('sees what leaves the range of the reference, on either side', () => {
    const flat = (brightness: number): Sketch => {
      const sketch = emptySketch(10, 1)
      for (let i = 0; i < 300; i += 1) {
        addImage(sketch, { predicted: i % 10, score: 0.9, brightness, contrast: 9, channels: [] })
      }
      return sketch
    }
    assert.deepEqual(over(flat(100), flat(100)), [])
    assert.deepEqual(over(flat(100), flat(140)), ['brightness'])
    assert.deepEqual(over(flat(100), flat(60)), ['brightness'])
    assert.deepEqual(over(flat(0), flat(255)), ['brightness'])
  })
  it('names cells by label, or by neighbours where there are many', () => {
    const random = new Random(randomKey(3, 'drift'))
    const few = compare(sample(random, 400), sample(random, 400), labels)[0]
    assert.deepEqual(
      few?.cells.map(({ name }) => name),
      labels
    )
    const many = sample(random, 400, { classes: 1000 })
    const names = Array.from({ length: 1000 }, (_, i) => `c${i}`)
    const cells = compare(many, many, names)[0]?.cells ?? []
    assert.ok(cells.length <= 34 && cells.length >= 20, `${cells.length}`)
    assert.ok(cells.some(({ name }) => /^c\d+ to c\d+$/.test(name)))
  })
  it('is seldom wrong about two samples of one distribution, however few images and many classes', () => {
    const random = new Random(randomKey(4, 'drift'))
    for (const [classes, m, n] of [
      [10, 100, 200],
      [10, 1000, 500],
      [100, 100, 1000],
      [1000, 300, 500]
    ] as const) {
      let wrong = 0
      for (let i = 0; i < 100; i += 1) {
        const served = sample(random, n, { classes })
        if (over(sample(random, m, { classes }), served).length > 0) wrong += 1
      }
      // Seven aspects at one in a thousand each: 5 of 100 or more come once in a thousand runs.
      assert.ok(wrong < 5, `${wrong} of 100 with ${classes} classes, ${m} and ${n} images`)
    }
  })
})
