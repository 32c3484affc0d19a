/**
 * Runs one exported file over one split and counts.
 *
 * Streams in batches: besides one byte an image (was it answered correctly; pairing variants needs it)
 * memory does not grow with the split. Whatever a report says about accuracy comes from here, hence
 * from the bytes that are published (design, promise 2).
 */
import type { Estimate } from '../contract/report.ts'
import type { ImageSource } from '../image/source.ts'
import type { Session } from '../runtime/session.ts'
import { calibrationError } from './calibration-error.ts'
import { type Confusion, emptyConfusion } from './confusion.ts'
import { wilson } from './wilson.ts'

export interface Evaluation {
  readonly accuracy: Estimate
  /** By position in the split: 1 where the answer was right. */
  readonly correct: Uint8Array
  readonly confusion: Confusion
  /** Expected calibration error, 15 bins. */
  readonly calibrationError: number
  /** Mean of -log p(true class), in nats; p is floored at 1e-12. */
  readonly crossEntropy: number
}

export interface EvaluateOptions {
  readonly session: Pick<Session, 'inputShape' | 'run'>
  readonly source: ImageSource
  readonly classes: number
  /** Images per run. Does not change results beyond float rounding. @default 64 */
  readonly batchSize?: number
  /** Told of every image: its pixels, which are valid during the call, and what was answered. */
  readonly onImage?: (image: EvaluatedImage) => void
}

export interface EvaluatedImage {
  readonly pixels: Uint8Array
  readonly predicted: number
  readonly score: number
}

/**
 * Accuracy, confusion, calibration error and cross-entropy of a file on a split.
 *
 * @throws RangeError when the split is empty, its images do not fit the file, a label is outside
 *   0..classes-1, or the file's `probabilities` are not [n, classes].
 */
export async function evaluateVariant(options: EvaluateOptions): Promise<Evaluation> {
  const { session, source, classes, batchSize = 64, onImage } = options
  checkFit(session.inputShape, source)
  const tally = createTally(source, classes)
  const stride = source.size * source.size * source.channels
  const pixels = new Uint8Array(Math.min(batchSize, source.count) * stride)
  for (let start = 0; start < source.count; start += batchSize) {
    const n = Math.min(batchSize, source.count - start)
    source.read(
      Array.from({ length: n }, (_, i) => start + i),
      pixels
    )
    const probabilities = (await session.run(pixels, n)).get('probabilities')
    if (probabilities?.length !== n * classes) {
      throw new RangeError(
        `Cannot evaluate: expected probabilities [${n}, ${classes}], received ${probabilities?.length} values`
      )
    }
    for (let i = 0; i < n; i++) {
      const own = probabilities.subarray(i * classes, (i + 1) * classes)
      const predicted = tally.add(start + i, own)
      const score = own[predicted] ?? 0
      onImage?.({ pixels: pixels.subarray(i * stride, (i + 1) * stride), predicted, score })
    }
  }
  return tally.evaluation()
}

function checkFit(inputShape: Session['inputShape'], source: ImageSource): void {
  const [height, width, channels] = inputShape
  if (source.count === 0) throw new RangeError('Cannot evaluate: the split is empty')
  if (height !== source.size || width !== source.size || channels !== source.channels) {
    throw new RangeError(
      `Cannot evaluate: the file takes [${inputShape.join(', ')}], received images of side ${source.size} with ${source.channels} channels`
    )
  }
}

function createTally(source: ImageSource, classes: number) {
  const correct = new Uint8Array(source.count)
  const confusion = emptyConfusion(classes)
  const calibration = calibrationError()
  let crossEntropy = 0
  let hits = 0
  return {
    /** The predicted class. */
    add(position: number, probabilities: Float32Array): number {
      const label = source.labels[position] ?? -1
      const row = confusion[label]
      if (row === undefined) {
        throw new RangeError(`Cannot evaluate: label ${label} is outside 0..${classes - 1}`)
      }
      const predicted = largest(probabilities)
      const isCorrect = predicted === label
      row[predicted] = (row[predicted] ?? 0) + 1
      correct[position] = isCorrect ? 1 : 0
      hits += isCorrect ? 1 : 0
      calibration.add(probabilities[predicted] ?? 0, isCorrect)
      crossEntropy -= Math.log(Math.max(probabilities[label] ?? 0, 1e-12))
      return predicted
    },
    evaluation(): Evaluation {
      const images = source.count
      return {
        accuracy: { value: hits / images, ci95: wilson(hits, images), images },
        correct,
        confusion,
        calibrationError: calibration.value(),
        crossEntropy: crossEntropy / images
      }
    }
  }
}

/** Index of the largest value; the first of equals. */
function largest(values: Float32Array): number {
  let best = 0
  for (let i = 1; i < values.length; i++) {
    if ((values[i] ?? 0) > (values[best] ?? 0)) best = i
  }
  return best
}
