/** What is said of a model that cannot be taken. */
import { ServiceError } from '../errors.ts'

/** The file is no sound ONNX model. */
export const damaged = (reason: string): ServiceError =>
  new ServiceError('MODEL_INVALID', { detail: `Cannot read the model: ${reason}` })

/** The file may be sound, but holds what is not taken. */
export const unsupported = (reason: string): ServiceError =>
  new ServiceError('MODEL_UNSUPPORTED', { detail: `Cannot take the model: ${reason}` })

export const excessive = (reason: string): ServiceError =>
  new ServiceError('MODEL_LIMIT', { detail: `Cannot take the model: ${reason}` })

/** What the request says does not fit the model. */
export const misfit = (pointer: string, detail: string, received?: unknown): ServiceError =>
  new ServiceError('REQUEST_INVALID', {
    detail: 'Cannot take the model: what was said of it does not fit it',
    errors: [received === undefined ? { pointer, detail } : { pointer, detail, received }]
  })

/** @throws ServiceError REQUEST_INVALID, MODEL_UNSUPPORTED unless the model has as many classes as there are labels */
export function assertClasses(found: number, labels: number): void {
  if (found < 2) throw unsupported(`it must have two classes or more, received ${found}`)
  if (found !== labels) {
    throw misfit('/labels', `must be ${found}, as many as the model has classes`, labels)
  }
}

/** A text of the model, short enough to be said again. */
export const shown = (text: string): string => JSON.stringify(text.slice(0, 100))
