import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { calibrationError } from '../../../src/evaluate/calibration-error.ts'
import { classReports } from '../../../src/evaluate/confusion.ts'
import { evaluateVariant } from '../../../src/evaluate/evaluate-variant.ts'
import type { ImageSource } from '../../../src/image/source.ts'

/** One pixel an image; its value is the class that `answering` will say. */
function source(pixels: readonly number[], labels: readonly number[]): ImageSource {
  return {
    count: labels.length,
    size: 1,
    channels: 1,
    labels: Int32Array.from(labels),
    read(positions, into) {
      for (let i = 0; i < positions.length; i++) into[i] = pixels[positions[i] ?? -1] ?? 255
    }
  }
}

/** A file that gives the pixel's class the probability `confidence`. */
function answering(classes: number, confidence: number) {
  const batches: number[] = []
  return {
    batches,
    inputShape: [1, 1, 1] as const,
    async run(images: Uint8Array, n: number) {
      batches.push(n)
      const probabilities = new Float32Array(n * classes).fill((1 - confidence) / (classes - 1))
      for (let i = 0; i < n; i++) probabilities[i * classes + (images[i] ?? 0)] = confidence
      return new Map([['probabilities', probabilities]])
    }
  }
}

describe('evaluateVariant()', () => {
  it('counts by true and predicted class, whatever the batch size', async () => {
    const split = source([0, 0, 1, 2, 1], [0, 1, 1, 2, 2])
    for (const batchSize of [1, 2, 64]) {
      const session = answering(3, 0.8)
      const result = await evaluateVariant({ session, source: split, classes: 3, batchSize })
      assert.deepEqual(result.confusion, [
        [1, 0, 0],
        [1, 1, 0],
        [0, 1, 1]
      ])
      assert.deepEqual([...result.correct], [1, 0, 1, 1, 0])
      assert.equal(result.accuracy.value, 3 / 5)
      assert.equal(result.accuracy.images, 5)
      assert.ok(Math.abs(result.calibrationError - 0.2) < 1e-6) // 0.8 claimed, 0.6 true
      const expected = -(3 * Math.log(0.8) + 2 * Math.log(0.1)) / 5
      assert.ok(Math.abs(result.crossEntropy - expected) < 1e-6)
      assert.deepEqual(session.batches, batchSize === 2 ? [2, 2, 1] : session.batches)
    }
  })
  it('rejects images that do not fit the file', async () => {
    const session = { ...answering(2, 0.9), inputShape: [2, 2, 1] as const }
    await assert.rejects(
      evaluateVariant({ session, source: source([0], [0]), classes: 2 }),
      /takes \[2, 2, 1\], received images of side 1/
    )
  })
  it('rejects an empty split, unknown labels and the wrong number of probabilities', async () => {
    const session = answering(2, 0.9)
    await assert.rejects(
      evaluateVariant({ session, source: source([], []), classes: 2 }),
      RangeError
    )
    await assert.rejects(
      evaluateVariant({ session, source: source([0], [2]), classes: 2 }),
      /label 2/
    )
    await assert.rejects(
      evaluateVariant({ session, source: source([0], [0]), classes: 3 }),
      /\[1, 3\]/
    )
  })
})

describe('classReports()', () => {
  it('leaves undefined ratios null', () => {
    const confusion = [
      [2, 0, 1],
      [1, 0, 0],
      [0, 0, 0]
    ]
    assert.deepEqual(classReports(confusion, ['a', 'b', 'c']), [
      { label: 'a', precision: 2 / 3, recall: 2 / 3, images: 3 },
      { label: 'b', precision: null, recall: 0, images: 1 },
      { label: 'c', precision: 0, recall: null, images: 0 }
    ])
  })
  it('rejects another number of labels', () => {
    assert.throws(() => classReports([[1]], ['a', 'b']), RangeError)
  })
})

describe('calibrationError()', () => {
  it('weights the gap of each bin by its share, computed by hand', () => {
    const error = calibrationError()
    for (const correct of [true, true, false, false]) error.add(0.9, correct) // gap 0.4
    for (const correct of [true, false]) error.add(0.5, correct) // gap 0
    assert.ok(Math.abs(error.value() - (4 / 6) * 0.4) < 1e-12)
  })
  it('closes bins above: 1 and 1/15 belong to the last and the first', () => {
    const error = calibrationError()
    error.add(1, true)
    error.add(1 / 15, false)
    error.add(1 / 15 + 1e-9, true) // next bin, so the two gaps do not cancel
    const expected = (0 + 1 / 15 + (1 - 1 / 15)) / 3
    assert.ok(Math.abs(error.value() - expected) < 1e-6)
  })
  it('is 0 before anything is added', () => {
    assert.equal(calibrationError().value(), 0)
  })
})
