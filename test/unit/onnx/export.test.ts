/** The structure of exported files, read back field by field. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { QuantizedNetwork } from '../../../src/network/quantization.ts'
import { exportOnnx } from '../../../src/onnx/export.ts'
import { builtNetwork, classifierOf, sketchNode, trainedWeights } from '../../support/networks.ts'
import { countOps, readModel } from '../../support/onnx-reader.ts'

const FLOAT32 = 1
const INT8 = 3
const INT32 = 6

const conv = sketchNode({
  id: 'conv',
  op: 'conv2d',
  attrs: { stride: 1, padding: 'same' },
  shapes: { kernel: [3, 3, 2, 4], bias: [4] }
})
const network = classifierOf(
  [6, 5, 2],
  [conv, sketchNode({ id: 'drop', op: 'dropout', inputs: ['conv'], attrs: { rate: 0.5 } })]
)
const weights = trainedWeights(network, 1)

describe('a float file', () => {
  const model = readModel(exportOnnx({ network, weights, metadata: { whittle: '0.1.0' } }))

  test('states its versions and metadata', () => {
    assert.equal(model.irVersion, 8)
    assert.deepEqual(model.opsets, new Map([['', 17]]))
    assert.deepEqual(model.metadata, { whittle: '0.1.0' })
  })

  test('takes images and gives probabilities', () => {
    assert.deepEqual(model.inputs, ['images'])
    assert.deepEqual(model.outputs, ['probabilities'])
  })

  test('has one node per op; dropout leaves none', () => {
    assert.deepEqual(countOps(model), {
      Transpose: 2,
      DequantizeLinear: 1,
      Conv: 1,
      Flatten: 1,
      Gemm: 1,
      Softmax: 1
    })
  })

  test('names every tensor once, and before it is read', () => {
    const known = new Set([...model.inputs, ...model.initializers.keys()])
    for (const { inputs, outputs } of model.nodes) {
      for (const input of inputs) assert.ok(known.has(input), input)
      for (const output of outputs) {
        assert.ok(!known.has(output), output)
        known.add(output)
      }
    }
    assert.ok(known.has('probabilities'))
  })

  test('holds kernels as OIHW float32', () => {
    assert.deepEqual(model.initializers.get('conv/kernel'), { dims: [4, 2, 3, 3], type: FLOAT32 })
  })

  test('is the same bytes every time', () => {
    assert.deepEqual(exportOnnx({ network, weights }), exportOnnx({ network, weights }))
  })

  test('gives inner nodes as outputs, under their ids', () => {
    const file = exportOnnx({ network, weights, outputs: ['conv', 'drop'] })
    assert.deepEqual(readModel(file).outputs, ['probabilities', 'conv', 'drop'])
  })

  for (const id of ['images', 'end', 'x']) {
    test(`refuses ${id} as an output`, () => {
      assert.throws(() => exportOnnx({ network, weights, outputs: [id] }), {
        name: 'RangeError',
        message: `Cannot export output: it must be an inner node, received '${id}'`
      })
    })
  }

  test('needs the weights of its network', () => {
    const other = builtNetwork({ depth: 8 })
    assert.throws(() => exportOnnx({ network: other, weights }), RangeError)
  })
})

describe('a quantized file', () => {
  const scales = Float32Array.of(0.1, 0.2, 0.3, 0.4)
  const quantized: QuantizedNetwork = {
    network,
    weights,
    activations: new Map([['conv', { scale: 0.05, zeroPoint: 3 }]]),
    kernels: new Map([['conv/kernel', { data: new Int8Array(72), scales }]]),
    biases: new Map([['conv/bias', { data: new Int32Array(4), scales }]])
  }
  const model = readModel(exportOnnx({ quantized }))
  const byOutput = new Map(model.nodes.flatMap((node) => node.outputs.map((name) => [name, node])))

  test('dequantizes every operand of a quantized layer and quantizes its result', () => {
    const node = model.nodes.find(({ type }) => type === 'Conv')
    assert.deepEqual(
      node?.inputs.map((name) => byOutput.get(name)?.type),
      ['DequantizeLinear', 'DequantizeLinear', 'DequantizeLinear']
    )
    const readers = model.nodes.filter(({ inputs }) => inputs.includes(node?.outputs[0] as string))
    assert.deepEqual(
      readers.map(({ type }) => type),
      ['QuantizeLinear']
    )
  })

  test('holds int8 kernels and int32 biases, with zero points of their types', () => {
    const { initializers } = model
    assert.deepEqual(initializers.get('conv/kernel'), { dims: [4, 2, 3, 3], type: INT8 })
    assert.deepEqual(initializers.get('conv/kernel/scale'), { dims: [4], type: FLOAT32 })
    assert.deepEqual(initializers.get('conv/kernel/zero-point'), { dims: [4], type: INT8 })
    assert.deepEqual(initializers.get('conv/bias'), { dims: [4], type: INT32 })
  })

  test('leaves what the plan does not name in float', () => {
    assert.equal(model.initializers.get('end-dense/kernel')?.type, FLOAT32)
    assert.equal(countOps(model).QuantizeLinear, 1)
  })

  test('refuses scales that are not one per output channel', () => {
    const three = { data: new Int8Array(72), scales: scales.subarray(1) }
    const kernels = new Map([['conv/kernel', three]])
    assert.throws(
      () => exportOnnx({ quantized: { ...quantized, kernels } }),
      /Cannot export 'conv\/kernel' of \[4,2,3,3\]: received 72 integers and 3 scales/
    )
  })
})
