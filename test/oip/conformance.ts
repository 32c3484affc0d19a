/**
 * What the Open Inference Protocol asks of any server, as checks over HTTP alone: nothing here knows whittle.
 *
 * Sources: github.com/kserve/open-inference-protocol (inference_rest.md), and for the extensions that a
 * server lists, Triton's docs/protocol. A model with one numeric input is asked about zeros.
 *
 *   node test/oip/run.ts http://127.0.0.1:8000 digits
 */
import assert from 'node:assert/strict'
import { deflateSync, gzipSync } from 'node:zlib'

export interface Check {
  readonly name: string
  /** Only for servers that list it. */
  readonly extension?: string
  run(target: Target): Promise<void>
}

interface TensorMetadata {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
}

export interface Target {
  readonly url: string
  readonly model: string
  readonly extensions: readonly string[]
  readonly versions: readonly string[]
  readonly input: TensorMetadata
  readonly outputs: readonly TensorMetadata[]
}

/** Whatever a server answers. */
// biome-ignore lint/suspicious/noExplicitAny: a check reads it, and fails where it is not so
export type Json = Record<string, any>

const sizes: Readonly<Record<string, number>> = {
  BOOL: 1,
  UINT8: 1,
  INT8: 1,
  UINT16: 2,
  INT16: 2,
  FP16: 2,
  UINT32: 4,
  INT32: 4,
  FP32: 4,
  UINT64: 8,
  INT64: 8,
  FP64: 8
}

/** Asks the server what it is and what its model takes. */
export async function target(url: string, model: string): Promise<Target> {
  const server = await getJson(`${url}/v2`)
  const described = await getJson(`${url}/v2/models/${model}`)
  return {
    url,
    model,
    extensions: server.extensions,
    versions: described.versions ?? [],
    input: described.inputs[0],
    outputs: described.outputs
  }
}

async function getJson(url: string): Promise<Json> {
  const answer = await fetch(url)
  assert.equal(answer.status, 200, url)
  return (await answer.json()) as Json
}

const at = ({ url, model }: Target, rest: string, of = model): string =>
  `${url}/v2/models/${of}${rest}`

/** A batch of `n` in the shape of the input. */
const shapeOf = ({ input }: Target, n = 1): number[] =>
  input.shape.map((side, i) => (i === 0 ? n : Math.max(1, side)))

const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1)

const flatInput = (target: Target, n = 1): Json => {
  const shape = shapeOf(target, n)
  const { name, datatype } = target.input
  return { name, datatype, shape, data: Array(count(shape)).fill(0) }
}

const nest = (data: readonly unknown[], shape: readonly number[]): unknown[] => {
  if (shape.length < 2) return [...data]
  const stride = data.length / (shape[0] ?? 1)
  return Array.from({ length: shape[0] ?? 0 }, (_, i) =>
    nest(data.slice(i * stride, (i + 1) * stride), shape.slice(1))
  )
}

async function infer(target: Target, body: Json, headers: Record<string, string> = {}) {
  const answer = await fetch(at(target, '/infer'), {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body)
  })
  return { status: answer.status, body: (await answer.json()) as Json, headers: answer.headers }
}

async function ok(target: Target, body: Json): Promise<Json> {
  const { status, body: answer } = await infer(target, body)
  assert.equal(status, 200, JSON.stringify(answer))
  return answer
}

/** JSON, then tensors; or a body alone when `json` is null. */
async function inferBinary(target: Target, json: Json | null, tail: Uint8Array) {
  const head = json === null ? Buffer.alloc(0) : Buffer.from(JSON.stringify(json))
  const answer = await fetch(at(target, '/infer'), {
    method: 'POST',
    headers: {
      'content-type': 'application/octet-stream',
      'inference-header-content-length': String(head.length)
    },
    body: Buffer.concat([head, tail])
  })
  const bytes = Buffer.from(await answer.arrayBuffer())
  const length = Number(answer.headers.get('inference-header-content-length') ?? bytes.length)
  const text = bytes.subarray(0, length).toString()
  return { status: answer.status, body: JSON.parse(text) as Json, tail: bytes.subarray(length) }
}

const binaryInput = (target: Target, n = 1) => {
  const { data: _, ...input } = flatInput(target, n)
  const bytes = new Uint8Array(count(shapeOf(target, n)) * (sizes[target.input.datatype] ?? 1))
  return { input: { ...input, parameters: { binary_data_size: bytes.length } }, bytes }
}

async function refused(answer: Promise<{ status: number; body: Json }>): Promise<void> {
  const { status, body } = await answer
  assert.ok(status >= 400 && status < 500, `it was answered ${status}: ${JSON.stringify(body)}`)
  assert.equal(typeof body.error, 'string', JSON.stringify(body))
}

const errorOf = async (url: string, init: RequestInit = {}) => {
  const answer = await fetch(url, init)
  return { status: answer.status, body: (await answer.json()) as Json }
}

export const checks: readonly Check[] = [
  {
    name: 'the server is live and ready, by either reading of the bodies',
    async run({ url }) {
      for (const what of ['live', 'ready']) {
        const answer = await fetch(`${url}/v2/health/${what}`)
        assert.equal(answer.status, 200)
        const text = await answer.text()
        if (text !== '') assert.equal(JSON.parse(text)[what], true)
      }
    }
  },
  {
    name: 'server metadata has name, version and extensions',
    async run({ url }) {
      const { name, version, extensions } = await getJson(`${url}/v2`)
      assert.deepEqual([typeof name, typeof version], ['string', 'string'])
      assert.ok(Array.isArray(extensions))
    }
  },
  {
    name: 'model metadata has name, platform, versions as strings, and tensors',
    async run(target) {
      const { name, platform, versions, inputs, outputs } = await getJson(at(target, ''))
      assert.deepEqual([name, typeof platform], [target.model, 'string'])
      assert.ok(versions.every((version: unknown) => typeof version === 'string'))
      for (const tensor of [...inputs, ...outputs]) {
        assert.ok(tensor.name && tensor.datatype && Array.isArray(tensor.shape))
      }
    }
  },
  {
    name: 'every call about a model is there with a version',
    async run(target) {
      const [version] = target.versions
      assert.ok(version)
      const path = `/versions/${version}`
      await getJson(at(target, path))
      assert.equal((await fetch(at(target, `${path}/ready`))).status, 200)
      const answer = await fetch(at(target, `${path}/infer`), {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ inputs: [flatInput(target)] })
      })
      const body = (await answer.json()) as Json
      assert.deepEqual([answer.status, body.model_version], [200, version])
    }
  },
  {
    name: 'a model that is there is ready, one that is not is an error',
    async run(target) {
      assert.equal((await fetch(at(target, '/ready'))).status, 200)
      for (const rest of ['', '/ready', '/versions/999999999', '/versions/x']) {
        const of = rest.startsWith('/versions') ? target.model : 'no-such-model'
        await refused(errorOf(at(target, rest, of)))
      }
    }
  },
  {
    name: 'an answer has the name of the model and tensors whose data fit their shape',
    async run(target) {
      const answer = await ok(target, { inputs: [flatInput(target)] })
      assert.equal(answer.model_name, target.model)
      assert.equal(answer.outputs.length, target.outputs.length)
      for (const output of answer.outputs) {
        assert.equal(output.data.flat(Number.POSITIVE_INFINITY).length, count(output.shape))
        assert.equal(output.shape[0], 1)
      }
    }
  },
  {
    name: 'flat and nested data are the same tensor',
    async run(target) {
      const flat = flatInput(target)
      const nested = { ...flat, data: nest(flat.data, flat.shape) }
      const answers = await Promise.all([flat, nested].map((one) => ok(target, { inputs: [one] })))
      assert.deepEqual(answers[0]?.outputs, answers[1]?.outputs)
    }
  },
  {
    name: 'an id is echoed, and absent without one or with an empty one',
    async run(target) {
      const inputs = [flatInput(target)]
      assert.equal((await ok(target, { id: 'a "quoted" id', inputs })).id, 'a "quoted" id')
      for (const without of [{ inputs }, { id: '', inputs }]) {
        const { id } = await ok(target, without)
        assert.ok(id === undefined || id === '', id)
      }
    }
  },
  {
    name: 'a batch is answered row by row',
    async run(target) {
      const { outputs } = await ok(target, { inputs: [flatInput(target, 3)] })
      assert.equal(outputs[0].shape[0], 3)
    }
  },
  {
    name: 'only the outputs that are asked for come back',
    async run(target) {
      const inputs = [flatInput(target)]
      const [{ name } = { name: '' }] = target.outputs
      const { outputs } = await ok(target, { inputs, outputs: [{ name }] })
      assert.deepEqual(
        outputs.map((output: Json) => output.name),
        [name]
      )
      await refused(infer(target, { inputs, outputs: [{ name: 'no-such-output' }] }))
    }
  },
  {
    name: 'requests that do not fit are refused with an error',
    async run(target) {
      const good = flatInput(target)
      const bad: readonly Json[] = [
        {},
        { inputs: [] },
        { inputs: 'none' },
        { inputs: [{ ...good, name: 'no-such-input' }] },
        { inputs: [{ ...good, datatype: 'NONE' }] },
        { inputs: [{ ...good, shape: [-1] }] },
        { inputs: [{ ...good, shape: 'x' }] },
        { inputs: [{ ...good, shape: [...good.shape, 2] }] },
        { inputs: [{ ...good, shape: [2 ** 40, 2 ** 40] }] },
        { inputs: [{ ...good, data: good.data.slice(1) }] },
        { inputs: [{ ...good, data: good.data.map(() => 'x') }] },
        { inputs: [{ name: good.name, shape: good.shape, datatype: good.datatype }] },
        { inputs: [good, good] }
      ]
      for (const body of bad) await refused(infer(target, body))
    }
  },
  {
    name: 'what is no JSON is refused with an error',
    async run(target) {
      const headers = { 'content-type': 'application/json' }
      for (const body of ['', '{', 'null', '[]', '\u0000', '['.repeat(250_000)]) {
        await refused(errorOf(at(target, '/infer'), { method: 'POST', headers, body }))
      }
    }
  },
  {
    name: 'bodies in gzip and deflate are read',
    async run(target) {
      const json = JSON.stringify({ inputs: [flatInput(target)] })
      for (const [encoding, pack] of [
        ['gzip', gzipSync],
        ['deflate', deflateSync]
      ] as const) {
        const answer = await fetch(at(target, '/infer'), {
          method: 'POST',
          headers: { 'content-type': 'application/json', 'content-encoding': encoding },
          body: pack(json)
        })
        assert.equal(answer.status, 200, await answer.text())
      }
    }
  },
  {
    name: 'tensors come and go as bytes, by tensor and by default',
    extension: 'binary_tensor_data',
    async run(target) {
      const { input, bytes } = binaryInput(target, 2)
      const [{ name } = { name: '' }] = target.outputs
      const json = await ok(target, { inputs: [flatInput(target, 2)] })
      const asks: readonly Json[] = [
        { outputs: [{ name, parameters: { binary_data: true } }] },
        { parameters: { binary_data_output: true } },
        {
          parameters: { binary_data_output: false },
          outputs: [{ name, parameters: { binary_data: true } }]
        }
      ]
      for (const ask of asks) {
        const answer = await inferBinary(target, { inputs: [input], ...ask }, bytes)
        assert.equal(answer.status, 200, JSON.stringify(answer.body))
        const [output] = answer.body.outputs
        assert.equal(output.parameters.binary_data_size, answer.tail.length)
        assert.equal(output.data, undefined)
        if (output.datatype === 'FP32') {
          const values = Array.from({ length: answer.tail.length / 4 }, (_, i) =>
            answer.tail.readFloatLE(4 * i)
          )
          assert.deepEqual(values, json.outputs[0].data.map(Math.fround))
        }
      }
      const overridden = await inferBinary(
        target,
        {
          inputs: [input],
          parameters: { binary_data_output: true },
          outputs: [{ name, parameters: { binary_data: false } }]
        },
        bytes
      )
      assert.deepEqual(overridden.body.outputs[0].data, json.outputs[0].data)
    }
  },
  {
    name: 'a body that is one tensor and nothing else is answered in bytes',
    extension: 'binary_tensor_data',
    async run(target) {
      const { bytes } = binaryInput(target)
      const { status, body, tail } = await inferBinary(target, null, bytes)
      assert.equal(status, 200, JSON.stringify(body))
      assert.ok(tail.length > 0)
      assert.equal(body.outputs[0].parameters.binary_data_size, tail.length)
    }
  },
  {
    name: 'bytes that do not add up are refused with an error',
    extension: 'binary_tensor_data',
    async run(target) {
      const { input, bytes } = binaryInput(target)
      const sized = (size: unknown) => ({
        inputs: [{ ...input, parameters: { binary_data_size: size } }]
      })
      await refused(inferBinary(target, sized(bytes.length + 1), bytes))
      await refused(inferBinary(target, sized(bytes.length - 1), bytes))
      await refused(inferBinary(target, sized(-1), bytes))
      await refused(inferBinary(target, sized('many'), bytes))
      await refused(inferBinary(target, sized(2 ** 53), bytes))
      await refused(inferBinary(target, { inputs: [{ ...input, data: [0] }] }, bytes))
      for (const length of ['-1', '1e9', 'x', '999999999999']) {
        const headers = {
          'content-type': 'application/octet-stream',
          'inference-header-content-length': length
        }
        await refused(errorOf(at(target, '/infer'), { method: 'POST', headers, body: bytes }))
      }
    }
  },
  {
    name: 'the best classes come as value, index and label',
    extension: 'classification',
    async run(target) {
      const [{ name } = { name: '' }] = target.outputs
      const parameters = { classification: 2 }
      const body = { inputs: [flatInput(target)], outputs: [{ name, parameters }] }
      const { outputs } = await ok(target, body)
      assert.equal(outputs[0].datatype, 'BYTES')
      const [best, next] = outputs[0].data.flat()
      assert.match(best, /^[\d.eE+-]+:\d+/)
      assert.ok(Number.parseFloat(best) >= Number.parseFloat(next))
    }
  },
  {
    name: 'statistics count images and runs',
    extension: 'statistics',
    async run(target) {
      const read = async () => {
        const { model_stats } = await getJson(at(target, '/stats'))
        return model_stats.reduce((sum: number, one: Json) => sum + one.inference_count, 0)
      }
      const before = await read()
      await ok(target, { inputs: [flatInput(target, 3)] })
      assert.equal((await read()) - before, 3)
      const { model_stats } = await getJson(`${target.url}/v2/models/stats`)
      for (const kind of ['success', 'fail', 'queue', 'compute_input', 'compute_infer']) {
        const { count, ns } = model_stats[0].inference_stats[kind]
        assert.deepEqual([typeof count, typeof ns], ['number', 'number'])
      }
    }
  },
  {
    name: 'the configuration names the tensors',
    extension: 'model_configuration',
    async run(target) {
      const { name, max_batch_size, input } = await getJson(at(target, '/config'))
      assert.equal(name, target.model)
      assert.equal(input[0].name, target.input.name)
      assert.equal(input[0].dims.length + (max_batch_size > 0 ? 1 : 0), target.input.shape.length)
    }
  },
  {
    name: 'the repository lists the model; unloaded it is not served, loaded it is',
    extension: 'model_repository',
    async run(target) {
      const post = (rest: string) =>
        errorOf(`${target.url}/v2/repository/${rest}`, { method: 'POST', body: '{}' })
      const listed = async () => {
        const { body } = await post('index')
        return (body as unknown as Json[]).find(({ name }) => name === target.model)?.state
      }
      assert.equal(await listed(), 'READY')
      assert.equal((await post(`models/${target.model}/unload`)).status, 200)
      assert.equal(await listed(), 'UNAVAILABLE')
      const { status } = await infer(target, { inputs: [flatInput(target)] })
      assert.ok(status >= 400)
      assert.equal((await post(`models/${target.model}/load`)).status, 200)
      await ok(target, { inputs: [flatInput(target)] })
      await refused(post('models/no-such-model/load'))
    }
  },
  {
    name: 'a request with priority and a timeout that suffices is answered',
    extension: 'schedule_policy',
    async run(target) {
      const inputs = [flatInput(target)]
      await ok(target, { inputs, parameters: { priority: 1, timeout: 20_000_000 } })
      await refused(infer(target, { inputs, parameters: { timeout: -1 } }))
    }
  }
]
