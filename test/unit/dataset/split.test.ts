import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Split, splits } from '../../../src/dataset/pack-file.ts'
import { assignSplits, carvedSplits, type Unsplit } from '../../../src/dataset/split.ts'

const image = (i: number, split: Split | null = null): Unsplit => ({
  sha256: createHash('sha256').update(`${i}`).digest('hex'),
  split
})
const images = (n: number, from = 0) => Array.from({ length: n }, (_, i) => image(from + i))
function count(assigned: Iterable<Split>) {
  const counts = { train: 0, validation: 0, test: 0 }
  for (const split of assigned) counts[split]++
  return counts
}

test('assignSplits() gives small classes one image in each split, train first', () => {
  const expected = [
    [1, { train: 1, validation: 0, test: 0 }],
    [2, { train: 1, validation: 1, test: 0 }],
    [3, { train: 1, validation: 1, test: 1 }],
    [4, { train: 2, validation: 1, test: 1 }],
    [10, { train: 8, validation: 1, test: 1 }],
    [1000, { train: 800, validation: 100, test: 100 }]
  ] as const
  for (const [n, counts] of expected) {
    assert.deepEqual(count(assignSplits(images(n)).values()), counts)
  }
})

test('assignSplits() keeps every count within one image of its target from ten images on', () => {
  for (let n = 10; n < 200; n++) {
    const { train, validation, test } = count(assignSplits(images(n)).values())
    assert.ok(Math.abs(train - 0.8 * n) <= 1, `train ${train} of ${n}`)
    assert.ok(Math.abs(validation - 0.1 * n) <= 1, `validation ${validation} of ${n}`)
    assert.ok(Math.abs(test - 0.1 * n) <= 1, `test ${test} of ${n}`)
  }
})

const ids = fc.uniqueArray(fc.integer({ min: 0, max: 100_000 }), { minLength: 1, maxLength: 80 })

test('assignSplits() does not depend on the order of the images', () => {
  fc.assert(
    fc.property(
      ids,
      fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
      (set, draws) => {
        const shuffled = set
          .map((i) => ({ i, at: draws.next().value ?? 0 }))
          .sort((a, b) => a.at - b.at)
          .map(({ i }) => image(i))
        const straight = assignSplits(set.map((i) => image(i)))
        for (const [sha256, split] of assignSplits(shuffled)) {
          assert.equal(split, straight.get(sha256))
        }
      }
    )
  )
})

test('assignSplits() of images added later in any batches fills all splits and keeps the targets', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 12 }),
      (sizes) => {
        const counts = { train: 0, validation: 0, test: 0 }
        let n = 0
        for (const size of sizes) {
          for (const split of assignSplits(images(size, n), { existing: counts }).values()) {
            counts[split]++
          }
          n += size
          if (n >= 3)
            assert.ok(
              splits.every((split) => counts[split] > 0),
              JSON.stringify(counts)
            )
          if (n >= 10) assert.ok(Math.abs(counts.train - 0.8 * n) <= 1, JSON.stringify(counts))
        }
      }
    )
  )
})

test('assignSplits() keeps given splits', () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom<Split | null>(...splits, null), { minLength: 1, maxLength: 50 }),
      (given) => {
        const set = given.map((split, i) => image(i, split))
        const assigned = assignSplits(set)
        for (const { sha256, split } of set) {
          assert.ok(assigned.has(sha256))
          if (split !== null) assert.equal(assigned.get(sha256), split)
        }
      }
    )
  )
})

test('assignSplits() carves validation from train when only train and test were given', () => {
  const given = [
    ...Array.from({ length: 90 }, (_, i) => image(i, 'train')),
    ...Array.from({ length: 10 }, (_, i) => image(1000 + i, 'test'))
  ]
  const carved = carvedSplits(new Set(['train', 'test']))
  assert.deepEqual(carved, ['validation'])
  const assigned = assignSplits(given, { carved })
  assert.deepEqual(count(assigned.values()), { train: 80, validation: 10, test: 10 })
  for (const { sha256, split } of given) {
    if (split === 'test') assert.equal(assigned.get(sha256), 'test')
  }
})

test('carvedSplits() carves nothing when no split, or no train split, was given', () => {
  assert.deepEqual(carvedSplits(new Set()), [])
  assert.deepEqual(carvedSplits(new Set(['test'])), [])
  assert.deepEqual(carvedSplits(new Set(splits)), [])
  assert.deepEqual(carvedSplits(new Set(['train'])), ['validation', 'test'])
})
