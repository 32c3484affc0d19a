/**
 * What was measured of a variant, as JSON within a checkpoint. Numbers come back as they were: JSON has the
 * shortest text that stands for a double. Which images were answered rightly is base64, one byte each.
 */
import { type Static, type TSchema, Type } from 'typebox'
import Value from 'typebox/value'
import { Estimate } from '../contract/report.ts'
import { Sketch } from '../contract/sketch.ts'
import type { Evaluation } from '../evaluate/evaluate-variant.ts'
import type { VariantEvaluation } from './pipeline-state.ts'

const Stored = Type.Object({
  accuracy: Estimate,
  correct: Type.String(),
  confusion: Type.Array(Type.Array(Type.Integer())),
  calibrationError: Type.Number(),
  crossEntropy: Type.Number()
})
/** Earlier releases wrote no reference. */
const StoredPair = Type.Object({
  validation: Stored,
  test: Stored,
  reference: Type.Optional(Type.Union([Sketch, Type.Null()]))
})

/** One evaluation, such as a checkpoint of an evaluation job holds for each variant. */
export const writeOne = (evaluation: Evaluation): Uint8Array =>
  new TextEncoder().encode(JSON.stringify(stored(evaluation)))

/** @throws RangeError when it was not written by `writeOne`. */
export const readOne = (bytes: Uint8Array): Evaluation => restored(checked(Stored, bytes))

export function writeEvaluation({ validation, test, reference }: VariantEvaluation): Uint8Array {
  const pair = { validation: stored(validation), test: stored(test), reference }
  const text = JSON.stringify(pair)
  return new TextEncoder().encode(text)
}

/** @throws RangeError when it was not written by `writeEvaluation`. */
export function readEvaluation(bytes: Uint8Array): VariantEvaluation {
  const { validation, test, reference = null } = checked(StoredPair, bytes)
  return { validation: restored(validation), test: restored(test), reference }
}

const stored = (evaluation: Evaluation): Static<typeof Stored> => ({
  accuracy: evaluation.accuracy,
  correct: Buffer.from(evaluation.correct).toString('base64'),
  confusion: evaluation.confusion.map((row) => [...row]),
  calibrationError: evaluation.calibrationError,
  crossEntropy: evaluation.crossEntropy
})

const restored = (value: Static<typeof Stored>): Evaluation => ({
  ...value,
  correct: new Uint8Array(Buffer.from(value.correct, 'base64'))
})

function checked<T extends TSchema>(schema: T, bytes: Uint8Array): Static<T> {
  const value: unknown = JSON.parse(new TextDecoder().decode(bytes))
  if (Value.Check(schema, value)) return value
  const [fault] = Value.Errors(schema, value)
  throw new RangeError(
    `Cannot read evaluation: ${fault?.message ?? 'it has another form'} at '${fault?.instancePath ?? ''}'`
  )
}
