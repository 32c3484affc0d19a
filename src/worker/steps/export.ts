/**
 * Exports every variant of a trained model, once: the ONNX files are a finished piece of the job.
 *
 * A job that resumes writes the same bytes again instead of exporting and calibrating anew, so what the
 * api has got already stays what is evaluated and published, wherever the job goes on.
 */
import type { Pack } from '../../dataset/pack.ts'
import { writeArtifact } from '../artifact.ts'
import type { JobContext } from '../job-context.ts'
import { yieldToOrders } from '../orders.ts'
import type { ExportedVariant, Trained } from '../pipeline-state.ts'
import { exportFloat, onnxFile } from './export-variant.ts'
import { quantizeStep } from './quantize.ts'

export async function exportStep(
  context: JobContext,
  pack: Pack,
  state: Trained
): Promise<Trained> {
  if (state.exported.length > 0) {
    for (const { variant, onnx } of state.exported) {
      await writeArtifact(context, onnxFile(variant), onnx)
    }
    return state
  }
  const exported = { ...state, exported: await exportAll(context, pack, state) }
  await context.checkpoints.write(() => exported)
  return exported
}

async function exportAll(
  context: JobContext,
  pack: Pack,
  { baseline, pruned }: Trained
): Promise<ExportedVariant[]> {
  const source = pack.validation
  const variants = [
    await exportFloat(context, baseline, { variant: 'baseline', from: null, source })
  ]
  if (pruned !== null) {
    await yieldToOrders(context)
    variants.push(
      await exportFloat(context, pruned, { variant: 'pruned', from: 'baseline', source })
    )
  }
  const { quantize } = context.assignment.recipe
  if (quantize !== null) {
    const model = pruned ?? baseline
    const from = pruned === null ? 'baseline' : 'pruned'
    variants.push(await quantizeStep(context, { model, from, pack, options: quantize }))
  }
  return variants
}
