/** A publication as a finished job would make it, with round numbers in its report. */
import { createHash } from 'node:crypto'
import type { Publication } from '../../src/catalog/publish-version.ts'
import type { PublishedReport, VariantName, VariantReport } from '../../src/contract/report.ts'

const estimate = (value: number) => ({
  value,
  ci95: [Math.max(0, value - 0.01), Math.min(1, value + 0.01)],
  images: 100
})

export function variantReport(file: string, accuracy = 0.9): VariantReport {
  return {
    from: null,
    file,
    bytes: 1000,
    parameters: 250,
    macs: 5000,
    accuracy: { validation: estimate(accuracy), test: estimate(accuracy) },
    perClass: [{ label: 'a', precision: 0.9, recall: 0.9, images: 50 }],
    confusion: [
      [45, 5],
      [5, 45]
    ],
    calibrationError: 0.01,
    latency: {
      batch: 1,
      threads: 1,
      medianMs: 0.5,
      p90Ms: 0.6,
      runs: 100,
      noisy: false,
      machine: { cpu: 'test', features: [], onnxruntime: '1.30.0' }
    },
    versusBaseline: { accuracyDrop: { value: 0, ci95: [0, 0] }, faster: 1, smaller: 1 },
    goal: null
  }
}

export function publication(
  job: string,
  changes: Partial<Omit<Publication, 'report'>> & {
    readonly report?: PublishedReport
    readonly variants?: readonly VariantName[]
    readonly network?: PublishedReport['network']
    readonly labels?: readonly string[]
  } = {}
): Publication & { readonly report: PublishedReport } {
  const { variants = ['baseline', 'int8'], network, labels = ['a', 'b'], ...rest } = changes
  const recommended = variants.at(-1) ?? 'baseline'
  return {
    job,
    model: 'digits',
    dataset: { id: 'ds_1', name: 'digits', version: 1 },
    alias: null,
    owner: null,
    report: {
      labels: [...labels],
      network: network ?? {
        architecture: 'simple-cnn',
        inputSize: 8,
        channels: 1,
        resize: 'stretch'
      },
      recommended,
      recommendation: 'smaller',
      variants: Object.fromEntries(variants.map((v) => [v, variantReport(`${v}.onnx`)]))
    },
    artifacts: variants.map((v) => ({
      file: `${v}.onnx`,
      bytes: 1000,
      sha256: createHash('sha256').update(`${job}/${v}`).digest('hex'),
      mediaType: 'application/octet-stream'
    })),
    ...rest
  }
}
