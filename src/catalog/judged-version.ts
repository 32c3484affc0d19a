/** What of a published version an evaluation needs: its labels, the form of its input, its ONNX files. */
import type { EvaluationTask } from '../contract/evaluation.ts'
import type { VersionEvaluationSpec } from '../contract/job.ts'
import { variantNames } from '../contract/report.ts'
import type { JobRow } from './jobs.ts'
import { findModel, readVersion } from './models.ts'
import type { Catalog } from './open.ts'

type File = EvaluationTask['variants'][number]

export interface JudgedVersion {
  readonly modelId: number
  readonly model: string
  readonly version: number
  /** By class index. */
  readonly labels: readonly string[]
  readonly network: EvaluationTask['network']
  /** The baseline first. */
  readonly variants: readonly File[]
}

/** @throws ServiceError MODEL_NOT_FOUND, VERSION_NOT_FOUND */
export async function judgedVersion(
  db: Catalog,
  model: string,
  version: number
): Promise<JudgedVersion> {
  const { id: modelId } = await findModel(db, model)
  const { labels, network, variants, artifacts } = await readVersion(db, model, version)
  const { inputSize, channels, resize } = network
  const found = variantNames.flatMap((variant): File[] => {
    const artifact = artifacts.find(({ file }) => file === variants[variant]?.file)
    if (artifact === undefined) return []
    const { file, sha256, bytes } = artifact
    return [{ variant, file, sha256, bytes }]
  })
  const form = { inputSize, channels, resize } as EvaluationTask['network']
  return { modelId, model, version, labels, network: form, variants: found }
}

/** What the worker that has claimed an evaluation must know. */
export async function evaluationTask(db: Catalog, job: JobRow): Promise<EvaluationTask> {
  const { version, split = 'test', variants }: VersionEvaluationSpec = JSON.parse(job.spec)
  const judged = await judgedVersion(db, job.model, version)
  const wanted = judged.variants.filter(({ variant }) => variants?.includes(variant) ?? true)
  const { network } = judged
  return { version, split, labels: [...judged.labels], network, variants: wanted }
}
