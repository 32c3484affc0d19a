/**
 * Encoded images to classes: decode and resize as the training packs did, run, keep the best.
 *
 * Runs in the engine process. An image that cannot be decoded spoils its own verdict only.
 */
import { hash } from 'node:crypto'
import type { Seen } from '../contract/sketch.ts'
import { ServiceError } from '../errors.ts'
import { type PixelFacts, pixelFacts } from '../image/pixel-facts.ts'
import { type InputShape, preprocess } from '../image/preprocess.ts'
import type { Session } from '../runtime/session.ts'
import type { Question, Verdict } from './messages.ts'
import type { BatchTimes } from './statistics.ts'

/** The one output of every model this service exports: float32 [n, classes]. */
export const outputName = 'probabilities'

/** A model that is loaded, and the memory of its largest batch so far. One batch at a time. */
export class Classifier {
  readonly #session: Session
  readonly #input: InputShape
  /** Taken anew for every batch it would be new pages, filled with zeros, each time. */
  #batch = new Uint8Array()

  constructor(session: Session, input: InputShape) {
    this.#session = session
    this.#input = input
  }

  /**
   * Classifies `questions` in one run of the model.
   *
   * Images are decoded one after the other: processes, not threads, spread the work over the cores.
   */
  async classify(questions: readonly Question[]): Promise<Classified> {
    const { size, channels } = this.#input
    const bytes = questions.length * size * size * channels
    if (this.#batch.length < bytes) this.#batch = new Uint8Array(bytes)
    return classify(this.#session, this.#input, { questions, batch: this.#batch })
  }
}

interface Batch {
  readonly questions: readonly Question[]
  /** Room for the pixels of all. */
  readonly batch: Uint8Array
}

async function classify(
  session: Session,
  input: InputShape,
  { questions, batch }: Batch
): Promise<Classified> {
  const began = performance.now()
  const stride = input.size * input.size * input.channels
  const verdicts: (Verdict | undefined)[] = []
  let n = 0
  for (const { bytes, form } of questions) {
    try {
      batch.set(form === 'pixels' ? bytes : await preprocess(bytes, input), n * stride)
      n += 1
      verdicts.push(undefined)
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error
      verdicts.push({ code: error.code, detail: error.detail })
    }
  }
  const decoded = performance.now()
  const scores = n === 0 ? new Float32Array() : await run(session, batch, n)
  const classes = n === 0 ? 0 : scores.length / n
  const inferred = performance.now()
  let row = 0
  const seen: (Seen | null)[] = []
  const all = questions.map((question, i): Verdict => {
    const refused = verdicts[i]
    if (refused) {
      seen.push(null)
      return refused
    }
    const own = scores.subarray(row * classes, (row + 1) * classes)
    const pixels = batch.subarray(row * stride, (row + 1) * stride)
    row += 1
    seen.push(look(question, own, pixelFacts(pixels, input.channels)))
    return question.top === null ? { all: own.slice() } : best(own, question.top)
  })
  const outputMs = performance.now() - inferred
  return {
    verdicts: all,
    seen,
    times: { inputMs: decoded - began, inferMs: inferred - decoded, outputMs }
  }
}

export interface Classified {
  readonly verdicts: Verdict[]
  /** One for each verdict; null where the image was refused. */
  readonly seen: (Seen | null)[]
  readonly times: BatchTimes
}

/**
 * The `top` greatest scores with their indices; equal scores in index order.
 *
 * Kept in order while going through all once: few of a thousand classes are ever moved.
 */
export function best(scores: Float32Array, top: number): { classes: number[]; scores: number[] } {
  const classes: number[] = []
  for (let i = 0; i < scores.length; i += 1) {
    const score = scores[i] ?? 0
    let place = classes.length
    while (place > 0 && score > (scores[classes[place - 1] ?? 0] ?? 0)) place -= 1
    if (place >= top) continue
    classes.splice(place, 0, i)
    if (classes.length > top) classes.pop()
  }
  return { classes, scores: classes.map((index) => scores[index] ?? 0) }
}

function look({ bytes, digest = false }: Question, scores: Float32Array, facts: PixelFacts): Seen {
  const predicted = largest(scores)
  const sha256 = digest ? hash('sha256', bytes) : null
  return { predicted, score: scores[predicted] ?? 0, ...facts, sha256 }
}

/** Index of the greatest score; the first of equals. */
function largest(scores: Float32Array): number {
  let at = 0
  for (let i = 1; i < scores.length; i += 1) if ((scores[i] ?? 0) > (scores[at] ?? 0)) at = i
  return at
}

async function run(session: Session, batch: Uint8Array, n: number): Promise<Float32Array> {
  const scores = (await session.run(batch, n)).get(outputName)
  if (!scores) throw new Error(`Cannot classify: the model has no output ${outputName}`)
  return scores
}
