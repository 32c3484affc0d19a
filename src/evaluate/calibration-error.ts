/**
 * Expected calibration error: how far stated confidence is from being right that often.
 *
 * Guo et al., "On Calibration of Modern Neural Networks", ICML 2017. arXiv:1706.04599, equation 3:
 *
 *   ECE = Σ_m |B_m|/n · |acc(B_m) - conf(B_m)|
 *
 * over 15 bins of equal width, the bin of confidence p being (m/15, (m+1)/15]. An accumulator, so that
 * probabilities need not be kept.
 */
const bins = 15

export interface CalibrationError {
  /** Counts one image: the probability of its predicted class, and whether that class is right. */
  add(confidence: number, correct: boolean): void
  /** In 0..1; 0 before anything was added. */
  value(): number
}

export function calibrationError(): CalibrationError {
  const confidences = new Float64Array(bins)
  const hits = new Float64Array(bins)
  let n = 0
  return {
    add(confidence, correct) {
      const bin = Math.min(bins - 1, Math.max(0, Math.ceil(confidence * bins) - 1))
      confidences[bin] = (confidences[bin] ?? 0) + confidence
      hits[bin] = (hits[bin] ?? 0) + (correct ? 1 : 0)
      n++
    },
    value() {
      let total = 0
      // |B|·|acc - conf| is the difference of the two sums of the bin.
      for (let m = 0; m < bins; m++) total += Math.abs((hits[m] ?? 0) - (confidences[m] ?? 0))
      return n === 0 ? 0 : total / n
    }
  }
}
