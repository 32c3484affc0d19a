import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ServiceError } from '../../../src/errors.ts'
import { readForeignModel } from '../../../src/foreign/read-model.ts'
import { type Signature, signatureOf } from '../../../src/foreign/signature.ts'
import { type Wrapping, wrapModel } from '../../../src/foreign/wrap.ts'
import { wrappingOf } from '../../../src/foreign/wrapping.ts'
import { integers, node, oddModel, tensor } from '../../support/foreign-models.ts'
import { countOps, readModel } from '../../support/onnx-reader.ts'

const plain: Wrapping = {
  order: 'rgb',
  scale: null,
  mean: null,
  std: null,
  outputs: 'logits',
  classes: 3
}

const wrap = (bytes: Uint8Array, changes: Partial<Wrapping> = {}, size?: number) => {
  const model = readForeignModel(bytes)
  return wrapModel(model, signatureOf(model, { classes: 3, size }), { ...plain, ...changes })
}

test('wrapModel() gives every model our input and output, and only the steps that change something', () => {
  const whole = readModel(wrap(oddModel(), { order: 'bgr', scale: [2], mean: [1], std: [3] }))
  assert.deepEqual([whole.inputs, whole.outputs], [['images'], ['probabilities']])
  const types = whole.nodes.map(({ type }) => type)
  const before = ['Gather', 'Cast', 'Mul', 'Sub', 'Div', 'Transpose']
  assert.deepEqual(types, [...before, 'GlobalAveragePool', 'Flatten', 'Softmax'])
  const least = readModel(
    wrap(oddModel({ type: 2, dims: ['n', 16, 16, 3] }), { outputs: 'probabilities' })
  )
  assert.deepEqual(countOps(least), { Identity: 2, GlobalAveragePool: 1, Flatten: 1 })
})

test('wrapModel() keeps names of the model apart from ours', () => {
  const names = { inputs: ['probabilities'], outputs: ['images'] }
  const nodes = [
    node('GlobalAveragePool', ['probabilities'], ['input/0']),
    node('Add', ['input/0', 'input/1/constant'], ['input/1']),
    node('Flatten', ['input/1'], ['images'])
  ]
  const constant = tensor('input/1/constant', [1], new Uint8Array(4))
  const wrapped = readModel(
    wrap(oddModel({ ...names, nodes, tensors: [constant] }), { scale: [2] })
  )
  const made = wrapped.nodes.flatMap(({ outputs }) => outputs)
  assert.equal(new Set([...made, 'images', ...wrapped.initializers.keys()]).size, made.length + 3)
})

test('wrapModel() writes values one way, whichever they came in', () => {
  const packed = Uint8Array.of(0, 0, 128, 63)
  const wrapped = readForeignModel(
    wrap(
      oddModel({
        tensors: [
          tensor('floats', [1], packed, { field: 4 }),
          tensor('bytes', [2], Uint8Array.of(7, 255, 1), { type: 2, field: 5 }),
          integers('shape', [-1, 3])
        ]
      })
    )
  )
  assert.deepEqual(
    wrapped.initializers.map(({ name, data }) => [name, [...data]]),
    [
      ['model/floats', [...packed]],
      ['model/bytes', [7, 255]],
      ['model/shape', [...Array(8).fill(255), 3, ...Array(7).fill(0)]]
    ]
  )
})

test('readForeignModel() answers any bytes with a model or a refusal', () => {
  const sound = oddModel({ tensors: [integers('s', [1, 2]), tensor('w', [1], new Uint8Array(4))] })
  const changes = fc.array(fc.tuple(fc.nat(sound.length - 1), fc.integer({ min: 0, max: 255 })), {
    minLength: 1,
    maxLength: 6
  })
  const changed = fc.tuple(changes, fc.nat(sound.length)).map(([all, length]) => {
    const bytes = Uint8Array.from(sound)
    for (const [at, value] of all) bytes[at] = value
    return length % 4 === 0 ? bytes.subarray(0, length) : bytes
  })
  fc.assert(
    fc.property(fc.oneof(changed, fc.uint8Array({ maxLength: 200 })), (bytes) => {
      try {
        wrap(bytes)
      } catch (error) {
        assert.ok(error instanceof ServiceError && error.status === 422, String(error))
      }
    }),
    { numRuns: 3000 }
  )
})

test('signatureOf() passes over inputs that have a value in the file, as old exporters list them', () => {
  const weights = tensor('w', [1], new Uint8Array(4))
  const old = readForeignModel(oddModel({ ir: 3, inputs: ['w', 'x'], tensors: [weights] }))
  assert.equal(signatureOf(old, { classes: 3 }).input, 'x')
})

test('signatureOf() tells the layout from the place of the channels', () => {
  const layoutOf = (dims: readonly (number | string)[], size?: number) => {
    const {
      layout,
      size: side,
      channels
    } = signatureOf(readForeignModel(oddModel({ dims })), { classes: 3, size })
    return [layout, side, channels]
  }
  assert.deepEqual(layoutOf(['n', 3, 16, 16]), ['nchw', 16, 3])
  assert.deepEqual(layoutOf([1, 16, 16, 1]), ['nhwc', 16, 1])
  assert.deepEqual(layoutOf(['n', 3, 'h', 'w'], 24), ['nchw', 24, 3])
  assert.deepEqual(layoutOf([-1, 'h', 16, 3]), ['nhwc', 16, 3])
  assert.throws(() => layoutOf(['n', 3, 16, 16], 24), /REQUEST_INVALID/)
  assert.throws(() => layoutOf(['n', 'c', 16, 16]), /1 or 3 channels/)
})

test('wrappingOf() holds what was said against what the model takes', () => {
  const of = (signature: Partial<Signature>, input: object) =>
    wrappingOf(
      { type: 'float32', channels: 3, ...signature },
      {
        classes: 3,
        said: { input, outputs: 'logits' }
      }
    )
  assert.deepEqual(of({}, { scale: 1, mean: [0, 0, 0], std: 1 }), plain)
  assert.deepEqual(of({}, { scale: 0.5, std: [1, 2, 3] }), {
    ...plain,
    scale: [0.5],
    std: [1, 2, 3]
  })
  assert.deepEqual(of({ type: 'uint8' }, {}), plain)
  for (const [signature, input] of [
    [{}, {}],
    [{}, { scale: [1, 2] }],
    [{}, { scale: 1, std: 0 }],
    [{ type: 'uint8' }, { mean: 1 }],
    [{ channels: 1 }, { scale: 1, order: 'bgr' }]
  ] as const) {
    assert.throws(() => of(signature, input), /REQUEST_INVALID/, JSON.stringify(input))
  }
})
