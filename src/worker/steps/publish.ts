/** Hands over what the version consists of besides the ONNX files: graph, weights, labels, report. */
import type { PublishedReport } from '../../contract/report.ts'
import { writeNetwork, writeWeights } from '../../network/document.ts'
import { writeArtifact } from '../artifact.ts'
import type { JobContext, Model } from '../job-context.ts'
import { yieldToOrders } from '../orders.ts'

export async function publishStep(
  context: JobContext,
  {
    baseline,
    pruned,
    report
  }: {
    readonly baseline: Model
    readonly pruned: Model | null
    readonly report: PublishedReport
  }
): Promise<void> {
  context.progress.at('publish', 0)
  await yieldToOrders(context)
  await writeModel(context, baseline, '')
  if (pruned !== null) await writeModel(context, pruned, 'pruned.')
  await writeArtifact(context, 'labels.json', `${JSON.stringify(report.labels)}\n`)
  await writeArtifact(context, 'report.json', `${JSON.stringify(report, null, 2)}\n`)
}

async function writeModel(context: JobContext, model: Model, prefix: string): Promise<void> {
  const { network, weights } = model
  await writeArtifact(context, `${prefix}graph.json`, writeNetwork(network))
  await writeArtifact(context, `${prefix}weights.safetensors`, writeWeights(network, weights))
}
