/** Optimizers against their papers, worked out in JavaScript for three updates of two weights. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TrainOptions } from '../../../src/contract/recipe.ts'
import { loadEngine } from '../../../src/tensor/engine.ts'
import { createOptimizer } from '../../../src/train/optimizer/optimizer.ts'
import { assertClose } from '../../support/close.ts'
import { adamwOptions, sgdOptions } from '../../support/train-options.ts'

const engine = await loadEngine('tensorflow', { threads: 1 })
const start = [0.5, -2]
const gradients = [
  [0.1, -0.4],
  [0.3, 0.2],
  [-0.2, 0.1]
]
const rates = [0.1, 0.05, 0.2]

/** The weights after each of the three updates. */
function run(options: TrainOptions['optimizer'], decay: boolean): number[][] {
  const optimizer = createOptimizer(engine.tf, options)
  const slots = optimizer.slots.map((slot) => `slots/w/${slot}`)
  const zeros = { shape: [2], data: new Float32Array(2) }
  const step = engine.compile({
    variables: new Map([
      ['w', { shape: [2], data: Float32Array.from(start) }],
      ...slots.map((slot) => [slot, zeros] as const)
    ]),
    inputs: {
      gradient: { shape: [2], dtype: 'float32' },
      learningRate: { shape: [], dtype: 'float32' },
      ...optimizer.inputs
    },
    step(scope, inputs) {
      const { gradient, learningRate } = inputs
      assert.ok(gradient && learningRate)
      const update = { variable: 'w', slots, value: scope.read('w'), gradient, decay, learningRate }
      optimizer.apply(scope, update, inputs)
      return { w: scope.read('w') }
    }
  })
  try {
    return gradients.map((gradient, i) => {
      const feeds = { gradient: Float32Array.from(gradient), learningRate: rates[i] ?? 0 }
      return [...(step.run({ ...feeds, ...optimizer.feeds(i) }).w ?? [])]
    })
  } finally {
    step.dispose()
  }
}

const each = (update: (w: number, i: number, t: number) => number): number[][] => {
  let weights = [...start]
  return gradients.map((_, t) => {
    weights = weights.map((w, i) => update(w, i, t))
    return weights
  })
}

for (const nesterov of [false, true]) {
  for (const decay of [false, true]) {
    test(`sgd with${nesterov ? ' Nesterov' : ''} momentum, decay ${decay ? 'on' : 'off'}`, () => {
      const weightDecay = 0.3
      const m = [0, 0]
      const expected = each((w, i, t) => {
        const g = (gradients[t]?.[i] ?? 0) + (decay ? weightDecay * w : 0)
        m[i] = 0.9 * (m[i] ?? 0) + g
        return w - (rates[t] ?? 0) * (nesterov ? g + 0.9 * (m[i] ?? 0) : (m[i] ?? 0))
      })
      const received = run(sgdOptions({ nesterov, weightDecay }), decay)
      assertClose(received.flat(), expected.flat(), 1e-6)
    })
  }
}

for (const decay of [false, true]) {
  test(`adamw, decay ${decay ? 'on: decoupled from the gradient' : 'off'}`, () => {
    const { beta1, beta2, epsilon, weightDecay } = adamwOptions({ weightDecay: 0.3 })
    const [m, v] = [
      [0, 0],
      [0, 0]
    ]
    const expected = each((w, i, t) => {
      const g = gradients[t]?.[i] ?? 0
      const rate = rates[t] ?? 0
      m[i] = beta1 * (m[i] ?? 0) + (1 - beta1) * g
      v[i] = beta2 * (v[i] ?? 0) + (1 - beta2) * g * g
      const corrected = (rate * Math.sqrt(1 - beta2 ** (t + 1))) / (1 - beta1 ** (t + 1))
      const kept = decay ? w * (1 - rate * weightDecay) : w
      return kept - (corrected * (m[i] ?? 0)) / (Math.sqrt(v[i] ?? 0) + epsilon)
    })
    assertClose(run(adamwOptions({ weightDecay: 0.3 }), decay).flat(), expected.flat(), 1e-6)
  })
}
