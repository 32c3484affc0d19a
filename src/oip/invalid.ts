/** What is wrong with a request of the Open Inference Protocol, which answers 400 for all of it. */
import { ServiceError } from '../errors.ts'

export const invalid = (reason: string): ServiceError =>
  new ServiceError('REQUEST_MALFORMED', { detail: `Cannot infer: ${reason}` })
