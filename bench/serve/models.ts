/**
 * The models of the serving benchmark: int8 files as whittle publishes them, with untrained weights,
 * since speed does not depend on what was learnt.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { InputShape } from '../../src/image/shape.ts'
import { buildNetwork } from '../../src/network/architecture/build.ts'
import { layers, scaledWidth, type Tap } from '../../src/network/architecture/layers.ts'
import type { Network } from '../../src/network/graph.ts'
import { initialWeights } from '../../src/network/initialize.ts'
import { exportOnnx } from '../../src/onnx/export.ts'
import { quantize } from '../../src/quantize/quantize.ts'
import { openSession } from '../../src/runtime/session.ts'

export interface BenchModel {
  readonly name: string
  readonly input: InputShape
  readonly classes: number
  /** The ONNX file. */
  readonly path: string
}

const scaling = { scale: 1 / 64, zeroPoint: 128 }

/** MobileNetV2 of width 1 (Sandler et al. 2018, arXiv:1801.04381, table 2), 224 pixels, 1,000 classes. */
function mobilenetV2(): Network {
  const build = layers({ size: 224, channels: 3, classes: 1000, ...scaling })
  const relu6 = (id: string, from: Tap): Tap => build.add(id, 'relu6', [from])
  const stem = { filters: 32, size: 3, stride: 2 }
  let x = relu6('stem-relu', build.conv('stem', build.images, stem))
  const stages = [
    [1, 16, 1, 1],
    [6, 24, 2, 2],
    [6, 32, 3, 2],
    [6, 64, 4, 2],
    [6, 96, 3, 1],
    [6, 160, 3, 2],
    [6, 320, 1, 1]
  ] as const
  for (const [stage, [expansion, width, blocks, first]] of stages.entries()) {
    for (let block = 0; block < blocks; block++) {
      const name = `stage${stage + 1}-block${block + 1}`
      const channels = x.shape.at(-1) ?? 0
      const wide = channels * expansion
      const stride = block === 0 ? first : 1
      let y = x
      if (expansion > 1) {
        const options = { filters: wide, size: 1, stride: 1 }
        y = relu6(`${name}-expand-relu`, build.conv(`${name}-expand`, x, options))
      }
      y = build.add(`${name}-depthwise`, 'depthwiseConv2d', [y], {
        attrs: { stride, padding: 'same' },
        shapes: { kernel: [3, 3, wide, 1], bias: [wide] }
      })
      y = relu6(`${name}-depthwise-relu`, y)
      const filters = scaledWidth(width, 1)
      y = build.conv(`${name}-project`, y, { filters, size: 1, stride: 1 })
      x = stride === 1 && channels === filters ? build.add(`${name}-add`, 'add', [x, y]) : y
    }
  }
  x = relu6('head-relu', build.conv('head', x, { filters: 1280, size: 1, stride: 1 }))
  return build.classify(build.add('pool', 'globalAvgPool', [x]), 1000)
}

const small = (): Network =>
  buildNetwork(
    {
      architecture: 'simple-cnn',
      depth: 8,
      width: 1,
      inputSize: 32,
      channels: 3,
      resize: 'stretch'
    },
    { classes: 10, ...scaling }
  )

/** Writes `mobilenet` and `small` to `folder`. */
export async function makeModels(
  folder: string
): Promise<Record<'mobilenet' | 'small', BenchModel>> {
  return {
    mobilenet: await make('mobilenet', mobilenetV2(), folder),
    small: await make('small', small(), folder)
  }
}

async function make(name: string, network: Network, folder: string): Promise<BenchModel> {
  const [size = 0, , channels] = network.input.shape
  const input: InputShape = { size, channels: channels === 1 ? 1 : 3, resize: 'stretch' }
  const bytes = size * size * input.channels
  const quantized = await quantize({
    network,
    weights: initialWeights(network, 1),
    seed: 1,
    options: { precision: 'int8', calibration: 'minmax', images: 16 },
    source: {
      count: 16,
      size,
      channels: input.channels,
      labels: new Int32Array(16),
      read(positions, into) {
        for (let i = 0; i < positions.length; i++) {
          const image = positions[i] ?? 0
          const pixels = Uint8Array.from(
            { length: bytes },
            (_, at) => ((at * (image + 7)) >> 3) & 255
          )
          into.set(pixels, i * bytes)
        }
      }
    },
    openFloat: (float) => openSession(exportOnnx(float), { threads: 1 })
  })
  const path = join(folder, `${name}.onnx`)
  await writeFile(path, exportOnnx({ quantized }))
  const output = network.nodes.find(({ id }) => id === 'classifier')
  const classes = output?.params.bias?.shape[0] ?? 0
  return { name, input, classes, path }
}
