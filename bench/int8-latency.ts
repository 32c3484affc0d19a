/**
 * float, int8 and pruned int8: one image, one thread, the files taking turns in one fresh process.
 *
 *   node bench/int8-latency.ts
 *
 * Files as jobs publish them: batch norm folded in all, half of the multiply-accumulates pruned. Weights are
 * drawn, not trained: time does not depend on their values. Timed by the service's own meter.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { NetworkChoice } from '../src/contract/recipe.ts'
import type { ImageSource } from '../src/image/source.ts'
import { measureLatency } from '../src/infer/measure.ts'
import { buildNetwork } from '../src/network/architecture/build.ts'
import type { Network, Weights } from '../src/network/graph.ts'
import { initialWeights } from '../src/network/initialize.ts'
import type { QuantizedNetwork } from '../src/network/quantization.ts'
import { exportOnnx } from '../src/onnx/export.ts'
import { pruneChannels } from '../src/prune/prune.ts'
import { foldBatchNorm } from '../src/quantize/fold-batch-norm.ts'
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

/** The meter knows the variants of a job; here `pruned` is what a job calls int8 from pruned. */
const titles = { baseline: 'float', int8: 'int8', pruned: 'pruned and int8' } as const

const folder = await mkdtemp(join(tmpdir(), 'whittle-bench-'))
try {
  for (const choice of choices) await compare(choice)
} finally {
  await rm(folder, { recursive: true })
}

async function compare(choice: NetworkChoice): Promise<void> {
  const network = buildNetwork(choice, { classes: 10, scale: 1 / 64, zeroPoint: 128 })
  const baseline = { network, weights: initialWeights(network, 7) }
  const half = { macs: 0.5, roundTo: 16, criterion: 'l2' } as const
  const { report, ...pruned } = pruneChannels(network, baseline.weights, half)
  const files = {
    baseline: exportOnnx(foldBatchNorm(baseline)),
    int8: exportOnnx({ quantized: await quantized(baseline, choice) }),
    pruned: exportOnnx({ quantized: await quantized(pruned, choice) })
  }
  const variants = (['baseline', 'int8', 'pruned'] as const).map((variant) => ({
    variant,
    path: join(folder, `${choice.architecture}-${variant}.onnx`)
  }))
  for (const { variant, path } of variants) await writeFile(path, files[variant])
  const times = await measureLatency({ variants, batch: 1, threads: 1, runs: 1000 })
  const share = (report.macs.after / report.macs.before).toFixed(2)
  console.log(`${choice.architecture}, ${choice.inputSize} pixels (pruned to ${share} of the MACs)`)
  for (const { variant } of variants) {
    const { medianMs = Number.NaN, noisy = true } = times[variant] ?? {}
    const faster = ((times.baseline?.medianMs ?? Number.NaN) / medianMs).toFixed(2)
    const note = noisy ? '  noisy' : ''
    console.log(`  ${titles[variant].padEnd(17)}${medianMs.toFixed(4)} ms  ${faster}x${note}`)
  }
}

interface Model {
  readonly network: Network
  readonly weights: Weights
}

function quantized(model: Model, choice: NetworkChoice): Promise<QuantizedNetwork> {
  return quantize({
    ...model,
    source: noise(choice),
    seed: 7,
    options: { precision: 'int8', calibration: 'minmax', images: 32 },
    openFloat: (float) => openSession(exportOnnx(float), { threads: 1 })
  })
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
