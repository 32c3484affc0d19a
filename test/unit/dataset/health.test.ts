import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type HealthFacts, healthFindings } from '../../../src/dataset/health.ts'

const none = { count: 0, examples: [] }
const even = { train: 80, validation: 10, test: 10 }
const healthy: HealthFacts = {
  classes: [
    { label: 'cat', ...even },
    { label: 'dog', ...even }
  ],
  tiny: none,
  odd: none
}
const withDogs = (dogs: Partial<typeof even>): HealthFacts => ({
  ...healthy,
  classes: [
    { label: 'cat', ...even },
    { label: 'dog', ...even, ...dogs }
  ]
})
const codes = (facts: HealthFacts) => healthFindings(facts).map(({ code }) => code)

test('healthFindings() is silent about a balanced dataset and an empty one', () => {
  assert.deepEqual(healthFindings(healthy), [])
  assert.deepEqual(healthFindings({ ...healthy, classes: [] }), [])
})

test('healthFindings() names the classes that a split lacks', () => {
  const [finding, ...others] = healthFindings(withDogs({ test: 0 }))
  assert.deepEqual(others, [])
  assert.equal(finding?.code, 'CLASS_MISSING_IN_SPLIT')
  assert.equal(finding?.detail, 'Without an image in test: "dog"')
})

test('healthFindings() calls five to one an imbalance, and less not', () => {
  assert.deepEqual(codes(withDogs({ train: 400 })), ['CLASS_IMBALANCE'])
  assert.deepEqual(codes(withDogs({ train: 399 })), [])
  const [finding] = healthFindings(withDogs({ train: 400 }))
  assert.equal(finding?.detail, '"dog" has 400 training images, "cat" has 80')
})

test('healthFindings() warns of classes with fewer than twenty training images', () => {
  assert.deepEqual(codes(withDogs({ train: 20 })), [])
  assert.deepEqual(codes(withDogs({ train: 19 })), ['FEW_IMAGES'])
})

test('healthFindings() gives examples of tiny and odd-shaped images', () => {
  const findings = healthFindings({
    ...healthy,
    tiny: { count: 30, examples: ['img_1'] },
    odd: { count: 1, examples: ['img_2'] }
  })
  assert.deepEqual(
    findings.map(({ code, images }) => [code, images]),
    [
      ['TINY_IMAGES', ['img_1']],
      ['ODD_SHAPES', ['img_2']]
    ]
  )
  assert.match(findings[0]?.detail ?? '', /^30 images/)
})

test('healthFindings() keeps its details short however many classes there are', () => {
  const classes = Array.from({ length: 5000 }, (_, i) => ({
    label: `class ${i}`,
    train: 3,
    validation: 0,
    test: 0
  }))
  for (const { detail } of healthFindings({ ...healthy, classes })) {
    assert.ok(detail.length < 400, detail)
    assert.match(detail, /and 4990 more$/)
  }
})
