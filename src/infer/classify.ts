/**
 * Encoded images to classes: decode and resize as the training packs did, run, keep the best.
 *
 * Runs in the engine process. An image that cannot be decoded spoils its own verdict only.
 */
import { ServiceError } from '../errors.ts'
import { type InputShape, preprocess } from '../image/preprocess.ts'
import type { Session } from '../runtime/session.ts'
import type { Question, Verdict } from './messages.ts'

/** The one output of every model this service exports: float32 [n, classes]. */
export const outputName = 'probabilities'

/**
 * Classifies `questions` in one run of the model.
 *
 * Images are decoded one after the other: processes, not threads, spread the work over the cores.
 */
export async function classify(
  session: Session,
  input: InputShape,
  questions: readonly Question[]
): Promise<Verdict[]> {
  const stride = input.size * input.size * input.channels
  const batch = new Uint8Array(questions.length * stride)
  const verdicts: (Verdict | undefined)[] = []
  let n = 0
  for (const { bytes } of questions) {
    try {
      batch.set(await preprocess(bytes, input), n * stride)
      n += 1
      verdicts.push(undefined)
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error
      verdicts.push({ code: error.code, detail: error.detail })
    }
  }
  const scores = n === 0 ? new Float32Array() : await run(session, batch, n)
  const classes = n === 0 ? 0 : scores.length / n
  let row = 0
  return verdicts.map((refused, i) => {
    if (refused) return refused
    const own = scores.subarray(row * classes, (row + 1) * classes)
    row += 1
    return best(own, questions[i]?.top ?? 1)
  })
}

/** The `top` greatest scores with their indices; equal scores in index order. */
export function best(scores: Float32Array, top: number): { classes: number[]; scores: number[] } {
  const classes = Array.from(scores.keys())
    .sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0) || a - b)
    .slice(0, top)
  return { classes, scores: classes.map((index) => scores[index] ?? 0) }
}

async function run(session: Session, batch: Uint8Array, n: number): Promise<Float32Array> {
  const scores = (await session.run(batch, n)).get(outputName)
  if (!scores) throw new Error(`Cannot classify: the model has no output ${outputName}`)
  return scores
}
