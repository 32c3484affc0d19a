import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import Value from 'typebox/value'
import { Recipe, ResolvedRecipe } from '../../../src/contract/recipe.ts'
import type { DatasetFacts } from '../../../src/recipe/facts.ts'
import { planJob } from '../../../src/recipe/plan.ts'

const spread = (median: number) => ({ min: median, median, max: median })
const facts = (more: Partial<DatasetFacts> & { perClass?: number; classCount?: number } = {}) => {
  const { perClass = 100, classCount = 10, ...given } = more
  const classes = Array.from({ length: classCount }, (_, i) => {
    return { label: `c${i}`, train: perClass, validation: 10, test: 10 }
  })
  const images = classCount * (perClass + 20)
  const sides = { width: spread(28), height: spread(28) }
  return { classes, images, bytes: images * 500, ...sides, grey: true, ...given }
}
const limits = { memoryLimit: 8 * 2 ** 30 }
const pointers = (recipe: Recipe, of: DatasetFacts = facts(), memoryLimit = limits.memoryLimit) =>
  planJob(recipe, of, { memoryLimit }).faults.map(({ pointer }) => pointer)

test('planJob() resolves nothing at all into a complete recipe without faults', () => {
  const plan = planJob(undefined, facts(), limits)
  assert.ok(Value.Check(ResolvedRecipe, plan.recipe))
  assert.deepEqual(plan.faults, [])
  assert.equal(plan.code, null)
  assert.equal(plan.recipe.prune, null)
  assert.equal(plan.recipe.quantize?.precision, 'int8')
  assert.equal(plan.reasons['/network/inputSize'], 'median side is 28')
  assert.ok(plan.recipe.augment.every(({ op }) => op !== 'flip'))
})

test('planJob() takes a preset by name for a recipe that extends it', () => {
  const { reasons: named, ...plan } = planJob('balanced', facts(), limits)
  const { reasons: extended, ...same } = planJob({ extends: 'balanced' }, facts(), limits)
  assert.deepEqual([plan, named], [same, extended])
  assert.equal(named['/preset'], undefined)
})

test('planJob() keeps what was given and gives it no reason', () => {
  const recipe: Recipe = {
    network: { architecture: 'resnet-cifar', depth: 56, inputSize: 32 },
    augment: [{ op: 'flip' }],
    train: { epochs: 3, batchSize: 32, optimizer: { name: 'adamw', beta2: 0.99 } },
    prune: { macs: 0.7 },
    quantize: null
  }
  const plan = planJob(recipe, facts(), limits)
  assert.equal(plan.recipe.network.depth, 56)
  assert.equal(plan.recipe.train.epochs, 3)
  assert.deepEqual(plan.recipe.train.optimizer, {
    name: 'adamw',
    beta1: 0.9,
    beta2: 0.99,
    epsilon: 1e-8,
    weightDecay: 0.05
  })
  assert.deepEqual(plan.recipe.augment, [{ op: 'flip', axis: 'horizontal', probability: 0.5 }])
  assert.equal(plan.recipe.prune?.macs, 0.7)
  assert.equal(plan.recipe.prune?.epochs, 1)
  assert.equal(plan.recipe.prune?.roundTo, 8)
  assert.equal(plan.recipe.quantize, null)
  for (const pointer of [
    '/network/depth',
    '/train/epochs',
    '/prune/macs',
    '/quantize',
    '/augment'
  ]) {
    assert.equal(plan.reasons[pointer], undefined)
  }
  assert.ok(plan.reasons['/prune/roundTo'])
})

test('planJob() rounds pruned widths to 16 when an int8 variant is made', () => {
  assert.equal(planJob({ prune: {} }, facts(), limits).recipe.prune?.roundTo, 16)
})

test('planJob() reads colour images in colour and photographs at a size that trains', () => {
  const photographs = facts({ grey: false, width: spread(400), height: spread(300) })
  const { network, augment } = planJob(undefined, photographs, limits).recipe
  assert.deepEqual([network.channels, network.inputSize, network.resize], [3, 64, 'stretch'])
  assert.equal(network.architecture, 'resnet-cifar')
  assert.ok(augment.some(({ op }) => op === 'brightness'))
  const wide = facts({ width: spread(300), height: spread(100) })
  assert.equal(planJob(undefined, wide, limits).recipe.network.resize, 'contain')
})

test('planJob() names a depth that the architecture does not have', () => {
  assert.deepEqual(pointers({ network: { architecture: 'resnet-cifar', depth: 21 } }), [
    '/recipe/network/depth'
  ])
  assert.deepEqual(pointers({ network: { architecture: 'simple-cnn', depth: 20 } }), [
    '/recipe/network/depth'
  ])
  assert.equal(
    planJob({ network: { depth: 20 } }, facts(), limits).recipe.network.architecture,
    'resnet-cifar'
  )
})

test('planJob() names every fault at once', () => {
  const recipe: Recipe = {
    network: { architecture: 'resnet-cifar', depth: 9, channels: 1 },
    augment: [
      { op: 'saturation', amount: 0.5 },
      { op: 'scale', range: [2, 0.5] },
      { op: 'randomCrop', padding: 40 }
    ],
    train: { epochs: 2, warmupEpochs: 2 },
    quantize: { images: 5000 }
  }
  const plan = planJob(recipe, facts({ grey: false }), limits)
  assert.deepEqual(
    plan.faults.map(({ pointer }) => pointer),
    [
      '/recipe/network/depth',
      '/recipe/augment/0/op',
      '/recipe/augment/1/range',
      '/recipe/augment/2/padding',
      '/recipe/train/warmupEpochs',
      '/recipe/quantize/images'
    ]
  )
  assert.equal(plan.code, 'REQUEST_INVALID')
  for (const { detail } of plan.faults) assert.match(detail, /^Cannot /)
})

test('planJob() refuses datasets with one class, an untrained class or an empty split', () => {
  assert.deepEqual(pointers({}, facts({ classCount: 1 })), ['/dataset'])
  assert.equal(planJob({}, facts({ classCount: 1 }), limits).code, 'DATASET_SINGLE_CLASS')
  const [first, ...rest] = facts().classes
  assert.ok(first)
  const plan = planJob({}, facts({ classes: [{ ...first, train: 0 }, ...rest] }), limits)
  assert.match(plan.faults[0]?.detail ?? '', /class c0 has no training image/)
  const untested = facts().classes.map((counts) => ({ ...counts, test: 0 }))
  assert.match(
    planJob({}, facts({ classes: untested }), limits).faults[0]?.detail ?? '',
    /test split holds no image/
  )
})

test('planJob() refuses a batch that does not fit the memory, with its own code', () => {
  const recipe: Recipe = {
    network: { architecture: 'resnet-cifar', inputSize: 256 },
    train: { batchSize: 4096 }
  }
  const plan = planJob(recipe, facts(), { memoryLimit: 2 ** 31 })
  assert.deepEqual(
    plan.faults.map(({ pointer }) => pointer),
    ['/recipe/train/batchSize']
  )
  assert.equal(plan.code, 'MEMORY_ESTIMATE_EXCEEDED')
  assert.ok(plan.estimate && plan.estimate.memoryBytes > 2 ** 31)
})

test('planJob() counts the batches of pruning and evaluating, which no recipe makes smaller', () => {
  const asked = (prune: NonNullable<Recipe['prune']> | null, batchSize = 1): Recipe => ({
    network: { architecture: 'resnet-cifar', inputSize: 64 },
    train: { batchSize },
    prune
  })
  const most = (recipe: Recipe, more = {}) => {
    const { estimate } = planJob(recipe, facts(more), { memoryLimit: 2 ** 40 })
    return { stage: estimate?.memoryStage, bytes: estimate?.memoryBytes ?? 0 }
  }
  const evaluated = most(asked(null))
  const pruned = most(asked({ criterion: 'l2' }))
  const sampled = most(asked({ criterion: 'taylor' }))
  const trained = most(asked({ criterion: 'taylor' }, 256))
  assert.deepEqual(
    [evaluated, pruned, sampled, trained].map(({ stage }) => stage),
    ['evaluate', 'prune', 'prune', 'train']
  )
  assert.ok(evaluated.bytes < pruned.bytes && pruned.bytes < sampled.bytes)
  assert.ok(most(asked({ criterion: 'taylor' }), { perClass: 2 }).bytes < sampled.bytes)
  const plan = planJob(asked({ criterion: 'taylor' }), facts(), { memoryLimit: sampled.bytes - 1 })
  assert.equal(plan.code, 'MEMORY_ESTIMATE_EXCEEDED')
  assert.equal(plan.faults[0]?.pointer, '/recipe/network/inputSize')
  assert.match(plan.faults[0]?.detail ?? '', /^Cannot prune a network of this size: about \d+ MiB/)
})

test('planJob() refuses training that would never end', () => {
  const recipe: Recipe = {
    network: { architecture: 'resnet-cifar', depth: 110, width: 8, inputSize: 256 },
    train: { epochs: 10_000, batchSize: 1 }
  }
  const found = pointers(recipe, facts({ perClass: 1_000_000 }), Number.MAX_SAFE_INTEGER)
  assert.deepEqual(found, ['/recipe/train/epochs'])
})

test('planJob() makes of any dataset a recipe that fits its own schema and has no fault', () => {
  const sides = fc.integer({ min: 1, max: 5000 }).map(spread)
  fc.assert(
    fc.property(
      fc.record({ width: sides, height: sides, grey: fc.boolean() }),
      fc.integer({ min: 2, max: 200 }),
      fc.integer({ min: 1, max: 2000 }),
      (given, classCount, perClass) => {
        const plan = planJob({ prune: {} }, facts({ ...given, classCount, perClass }), limits)
        assert.deepEqual([...Value.Errors(ResolvedRecipe, plan.recipe)], [])
        assert.deepEqual(plan.faults, [])
        // What a job shows can be posted again, and stays what it is.
        const { preset, ...again } = plan.recipe
        const copy = { extends: preset, ...again }
        assert.ok(Value.Check(Recipe, copy))
        assert.deepEqual(
          planJob(copy, facts({ ...given, classCount, perClass }), limits).recipe,
          plan.recipe
        )
      }
    ),
    { numRuns: 60 }
  )
})

test('planJob() refuses a job whose files could never be stored, and names what it would take', () => {
  const asked = { network: { architecture: 'resnet-cifar', depth: 20, width: 4 } } as const
  const estimate = planJob(asked, facts(), limits).estimate
  assert.ok(estimate !== null)
  const fits = { ...limits, storageLimit: estimate.storedBytes }
  assert.equal(planJob(asked, facts(), fits).code, null)
  const { code, faults } = planJob(asked, facts(), { ...fits, storageLimit: fits.storageLimit - 1 })
  assert.equal(code, 'DISK_ESTIMATE_EXCEEDED')
  assert.deepEqual(
    faults.map(({ pointer }) => pointer),
    ['/recipe/network']
  )
  assert.match(faults[0]?.detail ?? '', /Cannot store a network of this size: about \d+ MiB/)
})

test('planJob() estimates the disk of a job from its images, its pack and its weights', () => {
  const asked = { network: { inputSize: 28 }, quantize: null } as const
  const small = planJob(asked, facts({ bytes: 0 }), limits).estimate
  const more = planJob(asked, facts({ bytes: 1000 }), limits).estimate
  const deeper = planJob(asked, facts({ images: 2200 }), limits).estimate
  assert.ok(small && more && deeper)
  assert.equal(more.diskBytes - small.diskBytes, 1000)
  assert.ok(deeper.diskBytes - small.diskBytes > 1000 * 28 * 28)
  assert.ok(small.diskBytes > small.storedBytes)
  assert.ok(small.storedBytes > 3 * 4 * small.parameters)
})
