/** Hostile models over HTTP: each is refused in words, none is a 5xx, and the api goes on as before. */
import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import supertest from 'supertest'
import { ProtobufWriter } from '../../../src/tensor/protobuf.ts'
import { Random, randomKey } from '../../../src/tensor/random.ts'
import { type ApiApp, apiApp } from '../../support/api-app.ts'
import {
  fixture,
  integer,
  integerList,
  integers,
  measured,
  node,
  oddModel,
  send,
  tensor,
  torchForm
} from '../../support/foreign-models.ts'

async function listening(t: TestContext): Promise<ApiApp> {
  const api = await apiApp(t, { maxUploadBytes: 2 ** 20 }, { measureLatency: measured })
  await api.app.listen({ port: 0, host: '127.0.0.1' })
  return api
}

const usual = [node('GlobalAveragePool', ['x'], ['p']), node('Flatten', ['p'], ['y'])]
const unused = (one: ProtobufWriter) => oddModel({ tensors: [one] })
const inside = (type: string, more: (one: ProtobufWriter) => ProtobufWriter) =>
  oddModel({ nodes: [node(type, ['x'], ['z'], more), ...usual] })
const graph = new ProtobufWriter().text(2, 'inner')
const four = new Uint8Array(4)
/** `x` repeated: a shape costs nothing until it is computed. */
const repeated = (type: string, shape: readonly number[]) =>
  oddModel({
    tensors: [integers('s', shape)],
    nodes: [
      node(type, ['x', 's'], ['b']),
      node('GlobalAveragePool', ['b'], ['p']),
      node('Flatten', ['p'], ['y'])
    ]
  })

/** Name, bytes, the code that is expected, and what its detail or first fault says. */
const hostile: readonly (readonly [string, Uint8Array, string, RegExp])[] = [
  ['no bytes', new Uint8Array(), 'MODEL_UNSUPPORTED', /its IR version must be 3 to 13, received 0/],
  ['text', Buffer.from('not a model at all'), 'MODEL_INVALID', /ModelProto/],
  ['zeros', new Uint8Array(100), 'MODEL_INVALID', /a field numbered 0/],
  ['ones', new Uint8Array(100).fill(255), 'MODEL_INVALID', /more than ten bytes/],
  ['a length of 2^63', Uint8Array.of(58, ...Array(8).fill(255), 127), 'MODEL_INVALID', /announced/],
  ['a group', Uint8Array.of(8, 8, 59), 'MODEL_INVALID', /wire type 3/],
  ['no graph', new ProtobufWriter().integer(1, 8).finish(), 'MODEL_INVALID', /it has no graph/],
  [
    'two graphs',
    oddModel({ more: (m) => m.message(7, graph) }),
    'MODEL_INVALID',
    /has 2 of field 7/
  ],
  [
    'a graph that is a number',
    oddModel({ more: (m) => m.integer(7, 1) }),
    'MODEL_INVALID',
    /wire type/
  ],
  ['IR 99', oddModel({ ir: 99 }), 'MODEL_UNSUPPORTED', /received 99/],
  ['no opset', oddModel({ opset: null }), 'MODEL_UNSUPPORTED', /one version of ai.onnx.*none/],
  ['opset 6', oddModel({ opset: 6 }), 'MODEL_UNSUPPORTED', /7 to 25, received 6/],
  ['opset -1', oddModel({ opset: -1 }), 'MODEL_UNSUPPORTED', /received -1/],
  ['functions', oddModel({ more: (m) => m.message(25, graph) }), 'MODEL_UNSUPPORTED', /functions/],
  [
    'sparse weights',
    oddModel({ moreGraph: (g) => g.message(15, graph) }),
    'MODEL_UNSUPPORTED',
    /sparse/
  ],
  ['an unknown operator', inside('Exec', (n) => n), 'MODEL_UNSUPPORTED', /the operator \\"Exec\\"/],
  ['a loop', inside('Loop', (n) => n), 'MODEL_UNSUPPORTED', /Loop/],
  ['chance', inside('RandomNormalLike', (n) => n), 'MODEL_UNSUPPORTED', /RandomNormalLike/],
  [
    'a domain',
    inside('Relu', (n) => n.text(7, 'com.microsoft')),
    'MODEL_UNSUPPORTED',
    /com.microsoft/
  ],
  [
    'a graph in an attribute',
    inside('Relu', (n) =>
      n.message(5, new ProtobufWriter().text(1, 'g').message(6, graph).integer(20, 5))
    ),
    'MODEL_UNSUPPORTED',
    /never a graph, received type 5/
  ],
  [
    'a sparse tensor in an attribute',
    inside('Constant', (n) =>
      n.message(5, new ProtobufWriter().text(1, 'sparse_value').message(22, graph).integer(20, 11))
    ),
    'MODEL_UNSUPPORTED',
    /received type 11/
  ],
  [
    'external data',
    unused(
      tensor('w', [1], four)
        .integer(14, 1)
        .message(13, new ProtobufWriter().text(1, 'location').text(2, '/etc/passwd'))
    ),
    'MODEL_UNSUPPORTED',
    /EXTERNAL/
  ],
  [
    'external data of a constant',
    inside('Constant', (n) =>
      n.message(
        5,
        new ProtobufWriter()
          .text(1, 'value')
          .message(5, tensor('w', [1], four).integer(14, 1))
          .integer(20, 4)
      )
    ),
    'MODEL_UNSUPPORTED',
    /EXTERNAL/
  ],
  [
    'a text tensor',
    unused(tensor('w', [1], four, { type: 8, field: 6 })),
    'MODEL_UNSUPPORTED',
    /element type 8/
  ],
  ['a negative dimension', unused(tensor('w', [-1], four)), 'MODEL_INVALID', /a dimension of -1/],
  ['a shape of 10 GB', unused(tensor('w', [2_500_000_000], four)), 'MODEL_LIMIT', /elements/],
  ['a shape beyond 2^64', unused(tensor('w', [2 ** 40, 2 ** 40], four)), 'MODEL_LIMIT', /elements/],
  [
    'a shape of no values',
    unused(tensor('w', [100_000_000], new Uint8Array(), { type: 7, field: 7 })),
    'MODEL_INVALID',
    /received 0/
  ],
  [
    'nine dimensions',
    unused(tensor('w', Array(9).fill(1), four)),
    'MODEL_LIMIT',
    /at most 8 dimensions/
  ],
  ['too few bytes', unused(tensor('w', [2], four)), 'MODEL_INVALID', /has 8 bytes, received 4/],
  ['a segment', unused(tensor('w', [1], four).message(3, graph)), 'MODEL_UNSUPPORTED', /segments/],
  [
    'two inputs',
    oddModel({ inputs: ['x', 'z'] }),
    'MODEL_UNSUPPORTED',
    /one input, received .*x.*z/
  ],
  ['no input', oddModel({ inputs: [] }), 'MODEL_UNSUPPORTED', /one input, received none/],
  ['int64 images', oddModel({ type: 7 }), 'MODEL_UNSUPPORTED', /float32 or uint8/],
  ['a batch of 8', oddModel({ dims: [8, 3, 16, 16] }), 'MODEL_UNSUPPORTED', /n being free or 1/],
  [
    'no square',
    oddModel({ dims: ['n', 3, 16, 17] }),
    'MODEL_UNSUPPORTED',
    /be a square of 8 to 1024/
  ],
  ['two channels', oddModel({ dims: ['n', 2, 16, 16] }), 'MODEL_UNSUPPORTED', /1 or 3 channels/],
  ['rank 3', oddModel({ dims: [3, 16, 16] }), 'MODEL_UNSUPPORTED', /must be \[n, channels/],
  [
    '4,000 pixels',
    oddModel({ dims: ['n', 3, 4000, 4000] }),
    'MODEL_UNSUPPORTED',
    /8 to 1024 pixels/
  ],
  [
    'any size',
    oddModel({ dims: ['n', 3, 'h', 'w'] }),
    'REQUEST_INVALID',
    /\/input\/size.*is required/
  ],
  [
    'an output of rank 4',
    oddModel({ outputDims: ['n', 3, 1, 1] }),
    'MODEL_UNSUPPORTED',
    /\[n, classes\]/
  ],
  ['ten classes', oddModel({ outputDims: ['n', 10] }), 'REQUEST_INVALID', /\/labels.*must be 10/],
  [
    'classes that it does not say',
    oddModel({
      outputDims: ['n', 'c'],
      nodes: [
        node('Concat', ['x', 'x'], ['c'], (concat) => concat.message(5, integer('axis', 1))),
        node('GlobalAveragePool', ['c'], ['p']),
        node('Flatten', ['p'], ['y'])
      ]
    }),
    'REQUEST_INVALID',
    /\/labels.*must be 6,/
  ],
  [
    'a single class',
    oddModel({ dims: ['n', 1, 16, 16], outputDims: ['n', 'c'] }),
    'MODEL_UNSUPPORTED',
    /two classes or more, received 1/
  ],
  ['two outputs', oddModel({ outputs: ['y', 'p'] }), 'REQUEST_INVALID', /\/output.*is required/],
  ['an output that nothing makes', oddModel({ outputs: ['nothing'] }), 'MODEL_INVALID', /nothing/],
  [
    'a cycle',
    oddModel({ nodes: [node('Relu', ['b'], ['a']), node('Relu', ['a'], ['b']), ...usual] }),
    'MODEL_INVALID',
    /Cannot load/
  ],
  [
    'NaN',
    oddModel({
      nodes: [
        usual[0] as ProtobufWriter,
        node('Log', ['q'], ['r']),
        node('Neg', ['p'], ['q']),
        node('Flatten', ['r'], ['y'])
      ]
    }),
    'MODEL_UNSUPPORTED',
    /must be finite, received NaN/
  ],
  [
    'answers that depend on the rest of the batch',
    oddModel({
      nodes: [
        node('ReduceMax', ['x'], ['m'], (max) => max.message(5, integerList('axes', [0, 2, 3]))),
        node('Sub', ['x', 'm'], ['d']),
        node('GlobalAveragePool', ['d'], ['q']),
        node('Flatten', ['q'], ['y'])
      ]
    }),
    'MODEL_UNSUPPORTED',
    /answered alike alone and among others/
  ],
  [
    'gigabytes of a repetition',
    repeated('Tile', [1, 1, 3000, 3000]),
    'MODEL_LIMIT',
    /more memory than it may/
  ],
  [
    'gigabytes of a padding',
    repeated('Pad', [0, 0, 0, 0, 0, 0, 50_000, 50_000]),
    'MODEL_LIMIT',
    /more memory than it may/
  ]
]

test('every hostile model is refused in words, and nothing of it is kept', async (t) => {
  const api = await listening(t)
  for (const [name, file, code, says] of hostile) {
    const { status, body, text } = await send(api, file, input({ scale: 1 }))
    assert.equal(status, 422, `${name}: ${text}`)
    assert.equal(body.code, code, `${name}: ${text}`)
    assert.match(text, says, name)
  }
  await untouched(api)
})

/** No model, no blob, nothing staged; and a sound model is taken. */
async function untouched(api: ApiApp): Promise<void> {
  const { body } = await supertest(api.app.server).get('/v1/models')
  assert.deepEqual(body.items, [])
  assert.deepEqual(await Array.fromAsync(api.blobs.list()), [])
  assert.deepEqual(await readdir(join(api.dataDir, 'imports')), [])
  const taken = await send(api, await fixture('torch-like'))
  assert.equal(taken.status, 201, taken.text)
}

const input = (description: object): Record<string, string> => ({
  ...torchForm,
  input: JSON.stringify(description)
})

/** Fields instead of those that fit, and the pointers of the faults that are named. */
const wrongForms: readonly (readonly [
  Readonly<Record<string, string | undefined>>,
  readonly string[]
])[] = [
  [{ ...torchForm, labels: undefined }, ['/labels']],
  [{ ...torchForm, labels: '["a","b"]' }, ['/labels']],
  [{ ...torchForm, labels: '["a","b","c","d"]' }, ['/labels']],
  [{ ...torchForm, labels: '["a","b","a"]' }, ['/labels/2']],
  [{ ...torchForm, labels: '["a"," ","c"]' }, ['/labels/1']],
  [{ ...torchForm, labels: '["a",7,null]' }, ['/labels/1', '/labels/2']],
  [{ ...torchForm, labels: '["a",' }, ['/labels']],
  [{ ...torchForm, labels: '{"0":"a"}' }, ['/labels']],
  [{ ...torchForm, labels: 'a\n\nc' }, ['/labels/1']],
  [{ ...torchForm, labels: 'only one' }, ['/labels']],
  [
    {
      ...torchForm,
      labels: Array(10_001)
        .fill('a')
        .map((a, i) => a + i)
        .join('\n')
    },
    ['/labels']
  ],
  [{ ...torchForm, outputs: undefined }, ['/outputs']],
  [{ ...torchForm, outputs: 'scores', resize: 'crop' }, ['/outputs', '/resize']],
  [{ ...torchForm, outputs: 'probabilities' }, ['/outputs']],
  [{ ...torchForm, output: 'none' }, ['/output']],
  [{ ...torchForm, variant: 'float64', alias: 'No!' }, ['/variant', '/alias']],
  [{ ...torchForm, input: undefined }, ['/input/scale']],
  [{ ...torchForm, input: 'scale=1' }, ['/input']],
  [{ ...torchForm, input: '[]' }, ['/input']],
  [input({ scale: 'all' }), ['/input/scale']],
  [input({ scale: 1, size: 32 }), ['/input/size']],
  [input({ scale: 1, size: 1e9 }), ['/input/size']],
  [input({ scale: [1, 1] }), ['/input/scale']],
  [input({ scale: 1, std: [1, 0, 1] }), ['/input/std']],
  [input({ scale: 1, order: 'gbr', colour: 1 }), ['/input/order', '/input/colour']],
  [{ ...torchForm, strict: 'true' }, ['/strict']]
]

test('a form that does not fit is refused with a pointer per fault', async (t) => {
  const api = await listening(t)
  const file = await fixture('torch-like')
  for (const [fields, pointers] of wrongForms) {
    const { status, body, text } = await send(api, file, fields)
    assert.deepEqual([status, body.code], [422, 'REQUEST_INVALID'], text)
    const found = body.errors.map(({ pointer }: { pointer: string }) => pointer)
    assert.deepEqual(found.toSorted(), pointers.toSorted(), text)
  }
  const softmax = await send(api, await fixture('keras-like'), input({ scale: 1, size: 16 }))
  assert.match(softmax.body.errors[0].detail, /must be probabilities: the model ends in a Softmax/)
  assert.equal((await send(api, null)).body.errors[0].pointer, '/file')
  const twice = await send(api, file).attach('file', file, 'b.onnx')
  assert.equal(twice.body.errors[0].pointer, '/file')
  const many = await send(api, file).attach('file', file, 'b').attach('file', file, 'c')
  assert.deepEqual([many.status, many.body.code], [413, 'REQUEST_TOO_LARGE'])
  const large = await send(api, new Uint8Array(2 ** 20 + 1))
  assert.deepEqual([large.status, large.body.code], [413, 'REQUEST_TOO_LARGE'])
  const named = await send(api, file, torchForm, 'No')
  assert.equal(named.status, 422)
  const json = await supertest(api.app.server).post('/v1/models/a/versions').send({ file: '' })
  assert.equal(json.body.code, 'MEDIA_TYPE_UNSUPPORTED')
  await untouched(api)
})

test('a sound model with bytes changed or cut never brings a 5xx', async (t) => {
  const api = await listening(t)
  const sound = await fixture('torch-like')
  const random = new Random(randomKey(11))
  const below = (n: number) => Math.floor(random.between(0, n))
  const answers = new Map<number, number>()
  for (let i = 0; i < 24; i += 1) {
    const bytes = Buffer.from(sound.subarray(0, i % 5 === 0 ? below(sound.length) : sound.length))
    for (let n = below(4) + 1; n > 0 && bytes.length > 0; n -= 1) {
      bytes[below(bytes.length)] = below(256)
    }
    const { status, text } = await send(api, bytes, torchForm, `m${i}`)
    // Most changes fall on weights, and leave a model that is another one, but sound.
    assert.ok(status === 201 || status === 422, `${i}: ${status} ${text}`)
    answers.set(status, (answers.get(status) ?? 0) + 1)
  }
  assert.ok((answers.get(422) ?? 0) > 2, JSON.stringify([...answers]))
  const health = await supertest(api.app.server).get('/health/live')
  assert.equal(health.status, 200)
})
