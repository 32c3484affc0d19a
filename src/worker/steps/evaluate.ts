/**
 * Measures every exported file: accuracy here, with ONNX Runtime; latency on the api host.
 *
 * Validation decides what is recommended; test is read once per file, for the report. Each file's answers
 * and the measured latencies are finished pieces: what was measured once decides, also when the job goes
 * on elsewhere, where the same measurement might come out otherwise.
 */
import type { Latency, PublishedReport } from '../../contract/report.ts'
import type { Pack } from '../../dataset/pack.ts'
import { addImage, emptySketch } from '../../drift/sketch.ts'
import { evaluateVariant } from '../../evaluate/evaluate-variant.ts'
import { recommend } from '../../evaluate/recommend.ts'
import {
  type MeasuredVariant,
  type MeasuredVariants,
  variantReports
} from '../../evaluate/report.ts'
import { pixelFacts } from '../../image/pixel-facts.ts'
import { openSession } from '../../runtime/session.ts'
import type { JobContext } from '../job-context.ts'
import type { ExportedVariant, Trained, VariantEvaluation } from '../pipeline-state.ts'
import { onnxFile } from './export-variant.ts'
import { interruptible } from './interruptible.ts'

export async function evaluateStep(
  context: JobContext,
  pack: Pack,
  state: Trained
): Promise<PublishedReport> {
  context.progress.at('evaluate', 0)
  const evaluated = await evaluateAll(context, pack, state)
  const { exported, latencies } = await measureLatencies(context, evaluated)
  context.progress.at('evaluate', 1)
  const measured = Object.fromEntries(
    exported.map((variant) => [
      variant.variant,
      measuredVariant(variant, {
        evaluation: evaluated.evaluated.get(variant.variant),
        latency: latencies?.[variant.variant]
      })
    ])
  ) as unknown as MeasuredVariants
  const { architecture, inputSize, channels, resize } = context.assignment.recipe.network
  return {
    labels: [...pack.labels],
    network: { architecture, inputSize, channels, resize },
    ...recommend({ variants: measured }),
    variants: variantReports(measured, pack.labels) as PublishedReport['variants']
  }
}

async function evaluateAll(context: JobContext, pack: Pack, from: Trained): Promise<Trained> {
  const { checkpoints, progress } = context
  let state = from
  for (const [i, exported] of from.exported.entries()) {
    const { variant } = exported
    if (!state.evaluated.has(variant)) {
      const evaluation = await evaluateFile(context, exported, pack)
      const next = { ...state, evaluated: new Map([...state.evaluated, [variant, evaluation]]) }
      await checkpoints.write(() => next)
      state = next
    }
    progress.at('evaluate', (0.6 * (i + 1)) / from.exported.length)
  }
  return state
}

async function measureLatencies(context: JobContext, state: Trained): Promise<Trained> {
  if (state.latencies !== null) return state
  const files = state.exported.map(({ variant }) => ({ variant, file: onnxFile(variant) }))
  const measured = { ...state, latencies: await context.channel.measureLatency(files) }
  await context.checkpoints.write(() => measured)
  return measured
}

async function evaluateFile(
  context: JobContext,
  { variant, onnx }: ExportedVariant,
  pack: Pack
): Promise<VariantEvaluation> {
  const session = await openSession(onnx, { threads: context.engine.threads })
  try {
    const options = { session: interruptible(session, context), classes: pack.labels.length }
    const { channels } = pack.validation
    const reference = emptySketch(pack.labels.length, channels)
    const validation = await evaluateVariant({
      ...options,
      source: pack.validation,
      onImage: ({ pixels, ...answer }) =>
        addImage(reference, { ...answer, ...pixelFacts(pixels, channels) })
    })
    const test = await evaluateVariant({ ...options, source: pack.test })
    const [low, high] = validation.accuracy.ci95
    context.channel.log(
      'info',
      `${variant}: validation accuracy ${percent(validation.accuracy.value)} (${percent(low ?? 0)} to ${percent(high ?? 0)}), ${onnx.length} bytes`
    )
    return { validation, test, reference }
  } finally {
    await session.release()
  }
}

function measuredVariant(
  { variant, from, onnx, parameters, macs }: ExportedVariant,
  {
    evaluation,
    latency
  }: { readonly evaluation: VariantEvaluation | undefined; readonly latency: Latency | undefined }
): MeasuredVariant {
  if (evaluation === undefined) throw new Error(`No evaluation was made of ${variant}`)
  if (latency === undefined) throw new Error(`No latency was measured for ${variant}`)
  const file = onnxFile(variant)
  return { from, file, bytes: onnx.length, parameters, macs, ...evaluation, latency }
}

const percent = (fraction: number): string => `${(100 * fraction).toFixed(2)} %`
