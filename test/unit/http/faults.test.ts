import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Type } from 'typebox'
import { JobSpec } from '../../../src/contract/job.ts'
import { EncodedImages } from '../../../src/contract/prediction.ts'
import { findFaults } from '../../../src/http/faults.ts'

const pointers = (value: unknown) => findFaults(JobSpec, value).map(({ pointer }) => pointer)

test('findFaults() finds nothing wrong with what fits', () => {
  const recipe = { augment: [{ op: 'rotate', degrees: 15 }], prune: null, train: { epochs: 3 } }
  for (const value of [
    { dataset: 'digits@3', model: 'digits' },
    { dataset: 'ds_1', model: 'm', recipe: 'balanced' },
    { dataset: 'digits', model: 'm', recipe }
  ]) {
    assert.deepEqual(findFaults(JobSpec, value), [])
  }
})

test('findFaults() names every fault once, by pointer', () => {
  const found = pointers({
    dataset: 'NO',
    seed: -1,
    goal: {},
    recipe: {
      network: { depth: 3.5, 'a/b~c': 1 },
      train: { epochs: '3', optimizer: { name: 'adamw', momentum: 0.9 } },
      augment: [{ op: 'rotate', degrees: 400 }, { op: 'zoom' }, {}, 7]
    }
  })
  assert.deepEqual(found.toSorted(), [
    '/dataset',
    '/goal',
    '/model',
    '/recipe/augment/0/degrees',
    '/recipe/augment/1/op',
    '/recipe/augment/2/op',
    '/recipe/augment/3',
    '/recipe/network/a~1b~0c',
    '/recipe/network/depth',
    '/recipe/train/epochs',
    '/recipe/train/optimizer/momentum',
    '/seed'
  ])
})

test('findFaults() says what is asked for and what was received', () => {
  const [fault] = findFaults(JobSpec, { dataset: 'd', model: 'm', seed: 1.5 })
  assert.deepEqual(fault, {
    pointer: '/seed',
    detail: 'must be an integer from 0 to 4294967295',
    received: 1.5
  })
  const [preset] = findFaults(JobSpec, { dataset: 'd', model: 'm', recipe: 'fast' })
  assert.equal(preset?.detail, 'must be "balanced" or an object')
})

test('findFaults() never echoes a large value, and never lists more than fifty faults', () => {
  const huge = 'x'.repeat(1_000_000)
  assert.ok(JSON.stringify(findFaults(JobSpec, { dataset: huge, model: huge })).length < 2000)
  const items = Array.from({ length: 64 }, () => ({ b64: 7 }))
  assert.equal(findFaults(EncodedImages, { images: items }).length, 50)
  const [tooMany] = findFaults(EncodedImages, { images: [...items, ...items] })
  assert.equal(tooMany?.received, 'an array of 128 items')
})

test('findFaults() reports the closest branch of a union without a common constant', () => {
  const Change = Type.Union([
    Type.Object({ version: Type.Integer() }, { additionalProperties: false }),
    Type.Object({ targets: Type.Array(Type.Integer()), x: Type.Integer() })
  ])
  assert.deepEqual(
    findFaults(Change, { version: 'a' }).map((f) => f.pointer),
    ['/version']
  )
})

test('findFaults() finds a fault in whatever the compiled check refuses', () => {
  const Odd = Type.Object({ a: Type.Integer({ multipleOf: 3 }) }, { minProperties: 2 })
  for (const value of [{ a: 3 }, { a: 4, b: 1 }, [], null, undefined, 'text']) {
    assert.notEqual(findFaults(Odd, value).length, 0)
  }
})
