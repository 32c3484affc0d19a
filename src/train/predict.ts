/** What the trainer's own tensors answer, to be compared with an exported file. */
import { type ClassifierRequest, createClassifier, joined } from './classifier.ts'

const BATCH = 128

/**
 * Probabilities [count * classes] of all images of the source, in order.
 *
 * @throws RangeError when the source is empty or does not fit the network.
 */
export const predict = async (
  request: Omit<ClassifierRequest, 'batchSize'>
): Promise<Float32Array> => {
  const classifier = createClassifier({ ...request, batchSize: BATCH })
  try {
    return joined(await Array.fromAsync(classifier.answers()))
  } finally {
    classifier.dispose()
  }
}
