import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { test } from 'node:test'
import type { Tensor } from '@tensorflow/tfjs-core'
import { eagerStep } from '../../../src/tensor/eager-step.ts'
import { loadEngine } from '../../../src/tensor/engine.ts'
import type { Program } from '../../../src/tensor/program.ts'
import { assertClose } from '../../support/close.ts'

const engine = await loadEngine('tensorflow', { threads: 2 })
const { tf } = engine
const scalar = { shape: [], dtype: 'float32' } as const
const variable = (...values: number[]) => ({
  shape: [values.length],
  data: Float32Array.from(values)
})
const first = (output: ArrayLike<number> | undefined) => output?.[0]

test('updates and reads of a variable happen in program order, 25 of 25 times', () => {
  const size = 20_000
  const step = engine.compile({
    variables: new Map([
      ['w', { shape: [size], data: new Float32Array(size) }],
      ['average', { shape: [size], data: new Float32Array(size) }]
    ]),
    inputs: { start: scalar },
    step(scope, { start }) {
      const ones = tf.ones([size])
      scope.assign('w', tf.mul(ones, start as Tensor))
      const before = scope.read('w')
      scope.assign('w', tf.mul(scope.read('w'), 0.5))
      scope.assign('w', tf.add(scope.read('w'), 0.25))
      scope.assign('average', tf.mul(scope.read('w'), 2))
      return { before: tf.mean(before), after: tf.mean(scope.read('average')) }
    }
  })
  for (let run = 1; run <= 25; run++) {
    const { before, after } = step.run({ start: run })
    assert.equal(first(before), run)
    assert.equal(first(after), run + 0.5)
    assert.equal(first(step.read(['w']).get('w')), run / 2 + 0.25)
  }
  step.dispose()
})

const optimizers: Program = {
  variables: new Map([
    ['a', variable(1, -2, 3)],
    ['b', variable(1, -2, 3)],
    ['slot', variable(0, 0, 0)],
    ['m', variable(0, 0, 0)],
    ['v', variable(0, 0, 0)]
  ]),
  inputs: { rate: scalar, power1: scalar, power2: scalar },
  step(scope, { rate, power1, power2 }) {
    const gradient = (name: string) => tf.mul(tf.sub(scope.read(name), 0.5), 2)
    const momentum = { momentum: 0.9, nesterov: true, learningRate: rate as Tensor }
    scope.applyMomentum('a', { slot: 'slot', gradient: gradient('a'), ...momentum })
    scope.applyAdam('b', {
      firstMoment: 'm',
      secondMoment: 'v',
      gradient: gradient('b'),
      learningRate: rate as Tensor,
      beta1Power: power1 as Tensor,
      beta2Power: power2 as Tensor,
      beta1: 0.9,
      beta2: 0.99,
      epsilon: 1e-7
    })
    return { sum: tf.sum(scope.read('a')) }
  }
}

test('momentum and Adam update alike compiled and eager', () => {
  const compiled = engine.compile(optimizers)
  const eager = eagerStep(tf, optimizers)
  for (let t = 1; t <= 5; t++) {
    const feeds = { rate: 0.1, power1: 0.9 ** t, power2: 0.99 ** t }
    assertClose(compiled.run(feeds).sum ?? [], eager.run(feeds).sum ?? [], 1e-6)
    for (const [name, values] of compiled.read()) {
      assertClose(values, eager.read([name]).get(name) ?? [], 1e-6, `${name} after ${t}`)
    }
  }
  compiled.dispose()
  eager.dispose()
})

test('the first Nesterov and Adam updates are those of the papers', () => {
  const step = engine.compile(optimizers)
  step.run({ rate: 0.1, power1: 0.9, power2: 0.99 })
  // gradient = 2 (w - 0.5) = [1, -5, 5]; Nesterov: rate * (g + 0.9 g); Adam: rate * sign(g)
  assertClose(step.read().get('a') ?? [], [0.81, -1.05, 2.05], 1e-6)
  assertClose(step.read().get('b') ?? [], [0.9, -1.9, 2.9], 1e-5)
  step.dispose()
})

test('uint8 reaches the step as float32, int32 as it is', () => {
  const step = engine.compile({
    variables: new Map(),
    inputs: { pixels: { shape: [3], dtype: 'uint8' }, labels: { shape: [2], dtype: 'int32' } },
    step: (_scope, { pixels, labels }) => ({
      halves: tf.mul(pixels as Tensor, 0.5),
      next: tf.add(labels as Tensor, tf.scalar(1, 'int32'))
    })
  })
  const outputs = step.run({ pixels: Uint8Array.of(0, 127, 255), labels: Int32Array.of(-5, 7) })
  assert.deepEqual(outputs.halves, Float32Array.of(0, 63.5, 127.5))
  assert.deepEqual(outputs.next, Int32Array.of(-4, 8))
  step.dispose()
})

test('write() copies: what the caller does with its array later changes nothing', () => {
  const values = Float32Array.from({ length: 4096 }, () => 1)
  const step = engine.compile({
    variables: new Map([['w', { shape: [4096], data: values }]]),
    inputs: {},
    step(scope) {
      scope.assign('w', tf.add(scope.read('w'), 1))
      return { sum: tf.sum(scope.read('w')) }
    }
  })
  values.fill(100)
  assert.equal(first(step.run({}).sum), 4096 * 2)
  assert.equal(first(values), 100)
  step.write(new Map([['w', values]]))
  values.fill(7)
  assert.equal(first(step.run({}).sum), 4096 * 101)
  step.dispose()
})

test('neither runs nor disposed steps leave tensors, sessions or folders behind', () => {
  const backend = tf.backend() as unknown as { binding: { getNumOfSavedModels(): number } }
  const folders = () => readdirSync(tmpdir()).filter((name) => name.startsWith('whittle-graph-'))
  const [tensors, sessions] = [engine.tensorCount(), backend.binding.getNumOfSavedModels()]
  const before = folders().length
  const step = engine.compile(optimizers)
  for (let t = 0; t < 50; t++) {
    step.run({ rate: 0.01, power1: 0.9, power2: 0.9 })
  }
  assert.equal(engine.tensorCount(), tensors)
  assert.ok(folders().length <= before)
  step.dispose()
  assert.equal(backend.binding.getNumOfSavedModels(), sessions)
})

test('compile() refuses undeclared variables and large frozen tensors', () => {
  const program = (step: Program['step']): Program => ({ variables: new Map(), inputs: {}, step })
  const unknown = program((scope) => ({ w: scope.read('w') }))
  assert.throws(() => engine.compile(unknown), /does not declare it/)
  const frozen = program(() => ({ sum: tf.sum(tf.tensor(new Float32Array(300_000))) }))
  assert.throws(() => engine.compile(frozen), /1200000 bytes would be frozen/)
})
