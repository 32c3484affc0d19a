/**
 * A job that evaluates, from its data to its report: each file of the version is asked about every image.
 *
 * What a file answered is a finished piece, kept in a checkpoint: an attempt that resumes goes on with the
 * next file. A stop (or the end of the job's seconds) lets no further file begin; one at least is judged.
 */
import { readFile } from 'node:fs/promises'
import type { EvaluationReport } from '../contract/evaluation.ts'
import type { EvaluateAssignment } from '../contract/job.ts'
import type { VariantName } from '../contract/report.ts'
import { type Evaluation, evaluateVariant } from '../evaluate/evaluate-variant.ts'
import { evaluationReport } from '../evaluate/evaluation-report.ts'
import type { ImageSource } from '../image/source.ts'
import { readSafetensors, writeSafetensors } from '../network/safetensors.ts'
import { openSession } from '../runtime/session.ts'
import type { CheckpointForm, Checkpoints } from './checkpoints.ts'
import { readOne, writeOne } from './evaluation-file.ts'
import { modelPath } from './fetch-models.ts'
import type { JobContext } from './job-context.ts'
import { judgedImages } from './judged-images.ts'
import { Interrupted } from './orders.ts'
import { interruptible } from './steps/interruptible.ts'
import { prepare } from './steps/prepare.ts'

/** What each file answered, in the order in which they were asked. */
type EvaluationState = ReadonlyMap<VariantName, Evaluation>

export interface EvaluationContext
  extends Pick<JobContext, 'paths' | 'channel' | 'decisions' | 'progress'> {
  readonly assignment: EvaluateAssignment
  readonly threads: number
  readonly checkpoints: Checkpoints<EvaluationState>
}

/** A safetensors file without tensors: one file within it for each variant. */
export const evaluationForm: CheckpointForm<EvaluationState> = {
  write(state) {
    const files = new Map([...state].map(([variant, found]) => [variant, writeOne(found)]))
    return writeSafetensors({ tensors: new Map(), metadata: { whittle: formName }, files })
  },
  read(bytes) {
    const { metadata, files } = readSafetensors(bytes)
    if (metadata.whittle !== formName) {
      throw new RangeError(`Cannot read checkpoint: received the form ${metadata.whittle}`)
    }
    return new Map([...files].map(([variant, found]) => [variant as VariantName, readOne(found)]))
  }
}

const formName = 'whittle-evaluation-1'

export interface EvaluationEnd {
  readonly report: EvaluationReport
  readonly stopReason: string | null
}

/** @throws Interrupted when told to end; ServiceError for a failure that repeating cannot cure. */
export async function runEvaluation(context: EvaluationContext): Promise<EvaluationEnd> {
  const { assignment, checkpoints, channel } = context
  const { labels, split } = assignment.evaluation
  const found = await checkpoints.load(assignment.checkpoints)
  if (found !== undefined) channel.log('info', 'going on from a checkpoint')
  const pack = await prepare(context)
  try {
    const source = judgedImages(pack, { labels, split })
    const { evaluated, stopReason } = await evaluateAll(context, source, found ?? new Map())
    return { report: evaluationReport(evaluated, labels), stopReason }
  } finally {
    pack.close()
  }
}

async function evaluateAll(context: EvaluationContext, source: ImageSource, from: EvaluationState) {
  let evaluated = from
  for (const { variant, file } of context.assignment.evaluation.variants) {
    if (evaluated.has(variant)) continue
    const stopReason = await stopBefore(context, evaluated.size)
    if (stopReason !== null) {
      context.channel.log('warn', `ended before ${variant}: ${stopReason}`)
      return { evaluated, stopReason }
    }
    const evaluation = await evaluateFile(context, source, { file, done: evaluated.size })
    const { value, images } = evaluation.accuracy
    const percent = `${(100 * value).toFixed(2)} %`
    context.channel.log('info', `${variant}: accuracy ${percent} of ${images} images`)
    const next = new Map([...evaluated, [variant, evaluation] as const])
    await context.checkpoints.write(() => next)
    evaluated = next
  }
  return { evaluated, stopReason: null }
}

/** Why no further file shall begin, decided once for all attempts; null when it shall. */
async function stopBefore({ decisions }: EvaluationContext, files: number) {
  if (files === 0) return null
  const order = await decisions.control('evaluate', files)
  if (order === 'cancel' || order === 'checkpoint') throw new Interrupted(order)
  return order === 'stop' ? decisions.reason('evaluate') : null
}

async function evaluateFile(
  context: EvaluationContext,
  source: ImageSource,
  { file, done }: { readonly file: string; readonly done: number }
): Promise<Evaluation> {
  const { assignment, paths, threads, progress } = context
  const { labels, variants } = assignment.evaluation
  const session = await openSession(await readFile(modelPath(paths.scratch, file)), { threads })
  let images = 0
  const counting: typeof session = {
    ...session,
    run(pixels, n) {
      images += n
      progress.at('evaluate', (done + images / source.count) / variants.length)
      return session.run(pixels, n)
    }
  }
  try {
    const asked = interruptible(counting, context)
    return await evaluateVariant({ session: asked, source, classes: labels.length })
  } finally {
    await session.release()
  }
}
