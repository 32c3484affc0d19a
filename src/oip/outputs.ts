/**
 * The outputs of a classifier as tensors: all probabilities, or the best classes by name (extension
 * `classification`: `"<value>:<index>:<label>"`, Triton's extension_classification.md).
 */
import { invalid } from './invalid.ts'
import type { InferRequest, RequestedOutput } from './request.ts'
import type { OutputTensor } from './response.ts'

export interface ClassifierOutput {
  readonly name: string
  readonly labels: readonly string[]
}

/** Of one image: the probabilities of all classes in their order, or the best classes, best first. */
export type Row =
  | Float32Array
  | { readonly classes: readonly number[]; readonly scores: readonly number[] }

/**
 * @returns undefined when a request wants no output
 * @throws ServiceError REQUEST_MALFORMED for an output that the model has not, or twice the same
 */
export function wantedOutput(
  { outputs, binaryOutput }: InferRequest,
  { name, labels }: ClassifierOutput
): RequestedOutput | undefined {
  if (outputs === undefined) return { name, binary: binaryOutput, classification: 0 }
  const stranger = outputs.find((output) => output.name !== name)
  if (stranger !== undefined) {
    throw invalid(`the model has one output, ${name}, received ${stranger.name.slice(0, 60)}`)
  }
  if (outputs.length > 1) throw invalid(`output ${name} is asked for ${outputs.length} times`)
  const [output] = outputs
  return output && { ...output, classification: Math.min(output.classification, labels.length) }
}

/** @param rows classes where `classification` asks for them, probabilities where it is 0 */
export function outputTensor(
  { name, binary, classification }: RequestedOutput,
  rows: readonly Row[],
  { labels }: ClassifierOutput
): OutputTensor {
  const n = rows.length
  if (classification > 0) {
    const data = rows.flatMap((row) => classNames(row, labels))
    return { name, datatype: 'BYTES', shape: [n, classification], data, binary }
  }
  const scores = rows.map((row) => {
    if (row instanceof Float32Array) return row
    throw new TypeError('Cannot answer: probabilities of all classes are needed, received the best')
  })
  const classes = scores[0]?.length ?? 0
  const data = new Float32Array(n * classes)
  for (const [i, row] of scores.entries()) data.set(row, i * classes)
  return { name, datatype: 'FP32', shape: [n, classes], data, binary }
}

function classNames(row: Row, labels: readonly string[]): string[] {
  if (row instanceof Float32Array) {
    throw new TypeError('Cannot answer: the best classes are needed, received probabilities')
  }
  return row.classes.map(
    (index, i) => `${(row.scores[i] ?? 0).toFixed(6)}:${index}:${labels[index] ?? ''}`
  )
}
