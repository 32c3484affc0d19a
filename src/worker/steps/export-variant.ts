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
import { yieldToOrders } from '../orders.ts'
import type { ExportedVariant } from '../pipeline-state.ts'

/** Name of a variant's file among the artifacts. */
export const onnxFile = (variant: VariantName): string => `${variant}.onnx`

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
  const onnx = exportOnnx(foldBatchNorm(model))
  const exported = await keep(context, { ...as, model, onnx })
  const { worst } = await compare(context, { model, onnx, source: as.source })
  if (worst <= tolerance) return exported
  throw new ServiceError('EXPORT_MISMATCH', {
    detail: `Cannot publish ${onnxFile(as.variant)}: its probabilities differ from the trainer's by up to ${worst}`
  })
}

/**
 * Exports a quantized network as `int8.onnx`. Costs are those of the network it was made from.
 *
 * What rounding changes against the trainer is told in the log and measured in the report; it is no
 * reason to hide the file.
 */
export async function exportQuantized(
  context: JobContext,
  quantized: QuantizedNetwork,
  {
    model,
    from,
    source
  }: { readonly model: Model; readonly from: VariantName; readonly source: ImageSource }
): Promise<ExportedVariant> {
  const onnx = exportOnnx({ quantized })
  const exported = await keep(context, { variant: 'int8', from, model, onnx })
  const { worst, agreeing, images } = await compare(context, { model, onnx, source })
  context.channel.log(
    'info',
    `int8: names the same class as the trainer for ${agreeing} of ${images} images; probabilities differ by up to ${worst.toFixed(3)}`
  )
  return exported
}

async function keep(
  context: JobContext,
  {
    variant,
    from,
    model: { network },
    onnx
  }: {
    readonly variant: VariantName
    readonly from: VariantName | null
    readonly model: Model
    readonly onnx: Uint8Array
  }
): Promise<ExportedVariant> {
  await writeArtifact(context, onnxFile(variant), onnx)
  return { variant, from, onnx, parameters: parameters(network), macs: macs(network) }
}

interface Comparison {
  /** Largest difference of a probability; infinite where one is no number. */
  readonly worst: number
  /** Images that both give the same class. */
  readonly agreeing: number
  readonly images: number
}

/** Holds a file against the trainer's own outputs on a few images. */
async function compare(
  context: JobContext,
  {
    model,
    onnx,
    source
  }: { readonly model: Model; readonly onnx: Uint8Array; readonly source: ImageSource }
): Promise<Comparison> {
  const few = firstOf(source, comparedImages)
  const pixels = new Uint8Array(few.count * few.size * few.size * few.channels)
  few.read(
    Array.from({ length: few.count }, (_, i) => i),
    pixels
  )
  await yieldToOrders(context)
  const expected = await predict({ engine: context.engine, ...model, source: few })
  const session = await openSession(onnx, { threads: 1 })
  try {
    const received = (await session.run(pixels, few.count)).get('probabilities')
    return { ...difference(expected, received ?? new Float32Array(), few.count), images: few.count }
  } finally {
    await session.release()
  }
}

const firstOf = (source: ImageSource, most: number): ImageSource => {
  const count = Math.min(most, source.count)
  return {
    count,
    size: source.size,
    channels: source.channels,
    labels: source.labels.subarray(0, count),
    read: (positions, into) => source.read(positions, into)
  }
}

function difference(
  a: Float32Array,
  b: Float32Array,
  images: number
): Pick<Comparison, 'worst' | 'agreeing'> {
  if (a.length !== b.length) return { worst: Number.POSITIVE_INFINITY, agreeing: 0 }
  const classes = a.length / images
  const of = (values: Float32Array, i: number) => values.subarray(i * classes, (i + 1) * classes)
  let worst = 0
  let agreeing = 0
  for (let i = 0; i < images; i++) {
    const [rowA, rowB] = [of(a, i), of(b, i)]
    if (rowA.indexOf(Math.max(...rowA)) === rowB.indexOf(Math.max(...rowB))) agreeing++
    for (let c = 0; c < classes; c++) {
      const distance = Math.abs((rowA[c] ?? 0) - (rowB[c] ?? 0))
      if (!(distance <= worst)) worst = Number.isNaN(distance) ? Infinity : distance
    }
  }
  return { worst, agreeing }
}
