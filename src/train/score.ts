/** Accuracy and loss of probabilities against labels, summed in float64. */
import type { Score } from './early-stopping.ts'

/** A probability below this counts as this: one certain mistake must not make the mean infinite. */
const FLOOR = 1e-7

/** probabilities [n * classes], labels [n]; the loss is plain cross-entropy, without smoothing. */
export const scoreOf = (probabilities: Float32Array, labels: Int32Array): Score => {
  const classes = probabilities.length / labels.length
  let loss = 0
  let correct = 0
  for (const [i, label] of labels.entries()) {
    const row = probabilities.subarray(i * classes, (i + 1) * classes)
    const right = row[label] as number
    loss -= Math.log(Math.max(right, FLOOR))
    correct += row.indexOf(Math.max(...row)) === label ? 1 : 0
  }
  return { accuracy: correct / labels.length, loss: loss / labels.length }
}
