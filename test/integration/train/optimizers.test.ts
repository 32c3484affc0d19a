/** Optimizers, averages and statistics over three steps, against the formulas worked out in plain numbers. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Tensor } from '@tensorflow/tfjs-core'
import type { TrainOptions } from '../../../src/contract/recipe.ts'
import { loadEngine } from '../../../src/tensor/engine.ts'
import { updateEma } from '../../../src/train/ema.ts'
import { distillationLoss } from '../../../src/train/loss/distillation.ts'
import { smoothTargets } from '../../../src/train/loss/label-smoothing.ts'
import { createOptimizer } from '../../../src/train/optimizer/optimizer.ts'
import { assertClose } from '../../support/close.ts'
import { adamwOptions, sgdOptions } from '../../support/train-options.ts'

const engine = await loadEngine('tensorflow', { threads: 1 })
const { tf } = engine
const start = [1, -2, 0.5]
const rates = [0.1, 0.05, 0.2]
/** Gradient of sum((w - 0.25)^2). */
const slope = (w: number) => 2 * (w - 0.25)

/** The weights after each step of the optimizer on the loss above. */
const walk = (options: TrainOptions['optimizer'], decay = true): number[][] => {
  const optimizer = createOptimizer(tf, options)
  const slots = optimizer.slots.map((slot) => `slots/${slot}`)
  const scalar = { shape: [], dtype: 'float32' } as const
  const step = engine.compile({
    variables: new Map([
      ['w', { shape: [3], data: Float32Array.from(start) }],
      ...slots.map((slot) => [slot, { shape: [3], data: new Float32Array(3) }] as const)
    ]),
    inputs: { learningRate: scalar, ...optimizer.inputs },
    step(scope, inputs) {
      const value = scope.read('w')
      const gradient = tf.mul(tf.sub(value, 0.25), 2)
      const learningRate = inputs.learningRate as Tensor
      const update = { variable: 'w', slots, value, gradient, decay, learningRate }
      optimizer.apply(scope, update, inputs)
      return { sum: tf.sum(scope.read('w')) }
    }
  })
  const path = rates.map((learningRate, update) => {
    step.run({ learningRate, ...optimizer.feeds(update) })
    return [...(step.read(['w']).get('w') ?? [])]
  })
  step.dispose()
  return path
}

for (const nesterov of [true, false]) {
  test(`SGD with ${nesterov ? 'Nesterov' : 'plain'} momentum and L2 decay`, () => {
    const [momentum, weightDecay] = [0.9, 0.01]
    const [w, m] = [[...start], start.map(() => 0)]
    const expected = rates.map((rate) =>
      w.map((value, i) => {
        const g = slope(value) + weightDecay * value
        m[i] = momentum * (m[i] as number) + g
        w[i] = value - rate * (nesterov ? g + momentum * m[i] : m[i])
        return w[i]
      })
    )
    for (const [t, weights] of walk(sgdOptions({ momentum, nesterov, weightDecay })).entries()) {
      assertClose(weights, expected[t] ?? [], 1e-6, `step ${t}`)
    }
  })
}

test('AdamW decays the weights apart from the moments, by rate times decay', () => {
  const [beta1, beta2, epsilon, weightDecay] = [0.9, 0.99, 1e-7, 0.1]
  const moments = start.map(() => ({ first: 0, second: 0 }))
  const w = [...start]
  const expected = rates.map((rate, t) =>
    w.map((value, i) => {
      const g = slope(value)
      const moment = moments[i] as (typeof moments)[number]
      moment.first = beta1 * moment.first + (1 - beta1) * g
      moment.second = beta2 * moment.second + (1 - beta2) * g * g
      const corrected = (rate * Math.sqrt(1 - beta2 ** (t + 1))) / (1 - beta1 ** (t + 1))
      const change = (corrected * moment.first) / (Math.sqrt(moment.second) + epsilon)
      w[i] = value * (1 - rate * weightDecay) - change
      return w[i]
    })
  )
  const options = adamwOptions({ beta1, beta2, epsilon, weightDecay })
  for (const [t, weights] of walk(options).entries()) {
    assertClose(weights, expected[t] ?? [], 1e-5, `step ${t}`)
  }
})

test('parameters that do not decay are left out of it', () => {
  for (const options of [sgdOptions({ weightDecay: 0.3 }), adamwOptions({ weightDecay: 0.3 })]) {
    const without = { ...options, weightDecay: 0 }
    assert.deepEqual(walk(options, false), walk(without))
    assert.notDeepEqual(walk(options), walk(without))
  }
})

test('the average follows the weights after their update', () => {
  const scalar = { shape: [], dtype: 'float32' } as const
  const step = engine.compile({
    variables: new Map([
      ['w', { shape: [1], data: Float32Array.of(10) }],
      ['average', { shape: [1], data: Float32Array.of(10) }]
    ]),
    inputs: { decay: scalar },
    step(scope, { decay }) {
      scope.assign('w', tf.sub(scope.read('w'), 1))
      updateEma(tf, scope, { variable: 'w', average: 'average', decay: decay as Tensor })
      return { sum: tf.sum(scope.read('average')) }
    }
  })
  let average = 10
  for (const [t, decay] of [0.1, 0.5, 0.9].entries()) {
    step.run({ decay })
    average = decay * average + (1 - decay) * (9 - t)
    assertClose(step.read(['average']).get('average') ?? [], [average], 1e-6)
  }
  step.dispose()
})

test('smoothed targets spread what they take from the right class over all', () => {
  const labels = tf.tensor1d([2, 0], 'int32')
  const hard = smoothTargets(tf, labels, 4, 0)
  assert.deepEqual([...hard.dataSync()], [0, 0, 1, 0, 1, 0, 0, 0])
  const soft = smoothTargets(tf, labels, 4, 0.2)
  assertClose(soft.dataSync(), [0.05, 0.05, 0.85, 0.05, 0.85, 0.05, 0.05, 0.05], 1e-6)
})

test('distillation is T^2 times the divergence of the softened answers', () => {
  const [student, teacher, T] = [[1, 2, -1], [0.5, -1, 3], 2] as const
  const softened = (logits: readonly number[]) => {
    const powers = logits.map((z) => Math.exp(z / T))
    const sum = powers.reduce((a, b) => a + b)
    return powers.map((power) => power / sum)
  }
  const [p, q] = [softened(teacher), softened(student)]
  const divergence = p.reduce((sum, share, k) => sum + share * Math.log(share / (q[k] ?? 1)), 0)
  const row = (logits: readonly number[]) => tf.tensor2d([[...logits]])
  const loss = distillationLoss(engine, row(student), row(teacher), T)
  assertClose(loss.dataSync(), [T * T * divergence], 1e-5)
  assertClose(distillationLoss(engine, row(teacher), row(teacher), T).dataSync(), [0], 1e-6)
  const slopes = tf.grad((z) => distillationLoss(engine, z, row(teacher), T))(row(student))
  assertClose(
    slopes.dataSync(),
    p.map((share, k) => T * ((q[k] ?? 0) - share)),
    1e-5
  )
})
