/** What a problem's `type` leads to: the code's title, status and whether to try again. */
import { errorCatalogue } from '../errors.ts'

export interface ProblemExplanation {
  readonly code: string
  readonly title: string
  readonly status: number
  readonly retryable: boolean
}

/** @param name the last part of a problem's type, such as `job-not-found` */
export function problemExplanation(name: string): ProblemExplanation | undefined {
  const code = name.toUpperCase().replaceAll('-', '_')
  if (!Object.hasOwn(errorCatalogue, code)) return undefined
  return { code, ...errorCatalogue[code as keyof typeof errorCatalogue] }
}
