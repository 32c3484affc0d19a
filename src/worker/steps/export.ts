/**
 * Turns a trained model into its ONNX file, and proves that the file says what the trainer says.
 *
 * Reports are made from files, so a fault in the exporter would look like a bad model. The comparison
 * tells the two apart before anything is measured.
 */
import type { VariantName } from '../../contract/report.ts'
import { ServiceError } from '../../errors.ts'
import type { ImageSource } from '../../image/source.ts'
import { macs, parameters } from '../../network/cost.ts'
import type { QuantizedNetwork } from '../../network/quantization.ts'
import { exportOnnx } from '../../onnx/export.ts'
import { foldBatchNorm } from '../../quantize/fold-batch-norm.ts'
import { openSession } from '../../runtime/session.ts'
import { predict } from '../../train/predict.ts'
import { writeArtifact } from '../artifact.ts'
import type { JobContext, Model } from '../job-context.ts'

/** One exported file and what is known of it before it runs. */
export interface ExportedVariant {
  readonly variant: VariantName
  readonly from: VariantName | null
  readonly file: string
  readonly path: string
  readonly bytes: number
  readonly parameters: number
  readonly macs: number
}

const comparedImages = 64
/** Largest difference of a probability: float32 sums in another order, through a softmax. */
const tolerance = 2e-3

/** Exports a float model, batch norm folded, as `<variant>.onnx`. @throws ServiceError EXPORT_MISMATCH */
export async function exportFloat(
  context: JobContext,
  model: Model,
  as: {
    readonly variant: VariantName
    readonly from: VariantName | null
    readonly source: ImageSource
  }
): Promise<ExportedVariant> {
  const exported = await exportFile(context, {
    ...as,
    model,
    onnx: exportOnnx(foldBatchNorm(model))
  })
  await compare(context, { model, path: exported.path, source: as.source })
  return exported
}

/** Exports a quantized network as `int8.onnx`. Costs are those of the network it was made from. */
export async function exportQuantized(
  context: JobContext,
  quantized: QuantizedNetwork,
  { model, from }: { readonly model: Model; readonly from: VariantName }
): Promise<ExportedVariant> {
  return exportFile(context, { variant: 'int8', from, model, onnx: exportOnnx({ quantized }) })
}

async function exportFile(
  context: JobContext,
  {
    variant,
    from,
    model,
    onnx
  }: {
    readonly variant: VariantName
    readonly from: VariantName | null
    readonly model: Model
    readonly onnx: Uint8Array
  }
): Promise<ExportedVariant> {
  const file = `${variant}.onnx`
  return {
    variant,
    from,
    file,
    path: await writeArtifact(context, file, onnx),
    bytes: onnx.length,
    parameters: parameters(model.network),
    macs: macs(model.network)
  }
}

async function compare(
  { engine }: JobContext,
  {
    model,
    path,
    source
  }: { readonly model: Model; readonly path: string; readonly source: ImageSource }
): Promise<void> {
  const n = Math.min(comparedImages, source.count)
  const positions = Array.from({ length: n }, (_, i) => i)
  const pixels = new Uint8Array(n * source.size * source.size * source.channels)
  source.read(positions, pixels)
  const few: ImageSource = {
    count: n,
    size: source.size,
    channels: source.channels,
    labels: source.labels.subarray(0, n),
    read: (wanted, into) => source.read(wanted, into)
  }
  const expected = await predict({ engine, ...model, source: few })
  const session = await openSession(path, { threads: 1 })
  try {
    const received = (await session.run(pixels, n)).get('probabilities') ?? new Float32Array()
    const worst = largestDifference(expected, received)
    if (!(worst <= tolerance)) {
      const detail = `Cannot publish ${path.split('/').at(-1)}: its probabilities differ from the trainer's by up to ${worst}`
      throw new ServiceError('EXPORT_MISMATCH', { detail })
    }
  } finally {
    await session.release()
  }
}

/** NaN on either side, or different lengths, counts as infinitely far. */
function largestDifference(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY
  let worst = 0
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs((a[i] ?? 0) - (b[i] ?? 0))
    if (!(difference <= worst)) worst = Number.isNaN(difference) ? Infinity : difference
  }
  return worst
}
