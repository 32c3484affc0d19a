/** Quantizes the model to int8, calibrated on training images. */
import type { QuantizeOptions } from '../../contract/recipe.ts'
import type { VariantName } from '../../contract/report.ts'
import type { Pack } from '../../dataset/pack.ts'
import { exportOnnx } from '../../onnx/export.ts'
import { quantize } from '../../quantize/quantize.ts'
import { openSession } from '../../runtime/session.ts'
import type { JobContext, Model } from '../job-context.ts'
import { yieldToOrders } from '../orders.ts'
import type { ExportedVariant } from '../pipeline-state.ts'
import { exportQuantized } from './export-variant.ts'
import { interruptible } from './interruptible.ts'

export async function quantizeStep(
  context: JobContext,
  {
    model,
    from,
    pack,
    options
  }: {
    readonly model: Model
    readonly from: VariantName
    readonly pack: Pack
    readonly options: QuantizeOptions
  }
): Promise<ExportedVariant> {
  await yieldToOrders(context)
  context.progress.at('quantize', 0)
  const { engine, assignment } = context
  const quantized = await quantize({
    ...model,
    source: pack.train,
    options,
    seed: assignment.seed,
    beforeRange: () => yieldToOrders(context),
    openFloat: async (float) =>
      interruptible(await openSession(exportOnnx(float), { threads: engine.threads }), context)
  })
  await yieldToOrders(context)
  const exported = await exportQuantized(context, quantized, {
    model,
    from,
    source: pack.validation
  })
  context.progress.at('quantize', 1)
  const images = Math.min(options.images, pack.train.count)
  context.channel.log('info', `int8: calibrated by ${options.calibration} on ${images} images`)
  return exported
}
