/**
 * int8 against float: one image, one thread, the files taking turns in one fresh process.
 *
 *   node bench/int8-latency.ts
 *
 * Weights are drawn, not trained: time does not depend on their values. Timed by the service's own meter.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { NetworkChoice } from '../src/contract/recipe.ts'
import type { ImageSource } from '../src/image/source.ts'
import { measureLatency } from '../src/infer/measure.ts'
import { buildNetwork } from '../src/network/architecture/build.ts'
import { initialWeights } from '../src/network/initialize.ts'
import { exportOnnx } from '../src/onnx/export.ts'
import { quantize } from '../src/quantize/quantize.ts'
import { openSession } from '../src/runtime/session.ts'
import { Random, randomKey } from '../src/tensor/random.ts'

const choices: readonly NetworkChoice[] = [
  { architecture: 'simple-cnn', depth: 8, width: 1, inputSize: 28, channels: 1, resize: 'stretch' },
  {
    architecture: 'resnet-cifar',
    depth: 20,
    width: 1,
    inputSize: 32,
    channels: 3,
    resize: 'stretch'
  }
]

const folder = await mkdtemp(join(tmpdir(), 'whittle-bench-'))
try {
  for (const choice of choices) await compare(choice)
} finally {
  await rm(folder, { recursive: true })
}

async function compare(choice: NetworkChoice): Promise<void> {
  const network = buildNetwork(choice, { classes: 10, scale: 1 / 64, zeroPoint: 128 })
  const weights = initialWeights(network, 7)
  const quantized = await quantize({
    network,
    weights,
    source: noise(choice),
    seed: 7,
    options: { precision: 'int8', calibration: 'minmax', images: 32 },
    openFloat: (float) => openSession(exportOnnx(float), { threads: 1 })
  })
  const files = {
    baseline: exportOnnx({ network, weights }),
    int8: exportOnnx({ quantized })
  }
  const variants = (['baseline', 'int8'] as const).map((variant) => ({
    variant,
    path: join(folder, `${choice.architecture}-${variant}.onnx`)
  }))
  for (const { variant, path } of variants) await writeFile(path, files[variant])
  const { baseline, int8 } = await measureLatency({ variants, batch: 1, threads: 1, runs: 1000 })
  if (!baseline || !int8) throw new Error('the meter left a variant out')
  const note = baseline.noisy || int8.noisy ? ' (noisy)' : ''
  console.log(
    `${choice.architecture} ${choice.inputSize} px: float ${baseline.medianMs.toFixed(3)} ms, int8 ${int8.medianMs.toFixed(3)} ms, ${(baseline.medianMs / int8.medianMs).toFixed(2)}x${note}`
  )
}

function noise({ inputSize: size, channels }: NetworkChoice): ImageSource {
  const random = new Random(randomKey(1, 'noise'))
  const count = 64
  const pixels = Uint8Array.from({ length: count * size * size * channels }, () =>
    Math.floor(random.between(0, 256))
  )
  const stride = size * size * channels
  return {
    count,
    size,
    channels,
    labels: new Int32Array(count),
    read(positions, into) {
      for (let i = 0; i < positions.length; i++) {
        const at = (positions[i] ?? 0) * stride
        into.set(pixels.subarray(at, at + stride), i * stride)
      }
    }
  }
}
