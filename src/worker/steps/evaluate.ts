/**
 * Measures every exported file: accuracy here, with ONNX Runtime; latency on the api host.
 *
 * Validation decides what is recommended; test is read once per file, for the report.
 */
import type { PublishedReport } from '../../contract/report.ts'
import type { Pack } from '../../dataset/pack.ts'
import { evaluateVariant } from '../../evaluate/evaluate-variant.ts'
import { recommend } from '../../evaluate/recommend.ts'
import {
  type MeasuredVariant,
  type MeasuredVariants,
  variantReports
} from '../../evaluate/report.ts'
import { openSession } from '../../runtime/session.ts'
import { type JobContext, yieldToOrders } from '../job-context.ts'
import type { ExportedVariant } from './export.ts'

export async function evaluateStep(
  context: JobContext,
  { variants, pack }: { readonly variants: readonly ExportedVariant[]; readonly pack: Pack }
): Promise<PublishedReport> {
  const { progress, channel, assignment } = context
  progress.at('evaluate', 0)
  const evaluated: Omit<MeasuredVariant, 'latency'>[] = []
  for (const [i, exported] of variants.entries()) {
    await yieldToOrders(context)
    evaluated.push(await evaluateFile(context, exported, pack))
    progress.at('evaluate', (0.6 * (i + 1)) / variants.length)
  }
  const latencies = await channel.measureLatency(
    variants.map(({ variant, file }) => ({ variant, file }))
  )
  const measured = Object.fromEntries(
    variants.map(({ variant }, i) => {
      const latency = latencies[variant]
      if (latency === undefined) throw new Error(`No latency was measured for ${variant}`)
      return [variant, { ...evaluated[i], latency }]
    })
  ) as unknown as MeasuredVariants
  progress.at('evaluate', 1)
  const { architecture, inputSize, channels, resize } = assignment.recipe.network
  return {
    labels: [...pack.labels],
    network: { architecture, inputSize, channels, resize },
    ...recommend({ variants: measured }),
    variants: variantReports(measured, pack.labels) as PublishedReport['variants']
  }
}

async function evaluateFile(
  { engine, channel }: JobContext,
  exported: ExportedVariant,
  pack: Pack
): Promise<Omit<MeasuredVariant, 'latency'>> {
  const session = await openSession(exported.path, { threads: engine.threads })
  try {
    const options = { session, classes: pack.labels.length }
    const validation = await evaluateVariant({ ...options, source: pack.validation })
    const test = await evaluateVariant({ ...options, source: pack.test })
    const [low, high] = validation.accuracy.ci95
    channel.log(
      'info',
      `${exported.variant}: validation accuracy ${percent(validation.accuracy.value)} (${percent(low ?? 0)} to ${percent(high ?? 0)}), ${exported.bytes} bytes`
    )
    const { from, file, bytes, parameters, macs } = exported
    return { from, file, bytes, parameters, macs, validation, test }
  } finally {
    await session.release()
  }
}

const percent = (fraction: number): string => `${(100 * fraction).toFixed(2)} %`
