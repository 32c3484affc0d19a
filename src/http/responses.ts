/** Declares answers that many routes share, for the OpenAPI document. */
import { Type } from 'typebox'
import { Problem } from '../contract/problem.ts'
import { errorCatalogue } from '../errors.ts'
import { problemType } from './plugins/problem.ts'

/** The answer to what leaves nothing to show (204). */
export const noContent = Type.Unsafe<void>({ type: 'null', description: 'Done' })

interface ResponseObject {
  readonly description: string
  readonly content: Readonly<Record<string, { readonly schema: typeof Problem }>>
}

/** Responses by status; each is the one Problem, with the codes that it may carry. */
export function problemResponses(...statuses: readonly number[]): Record<number, ResponseObject> {
  return Object.fromEntries(
    statuses.map((status) => [
      status,
      { description: describe(status), content: { [problemType]: { schema: Problem } } }
    ])
  )
}

function describe(status: number): string {
  const titles = Object.values(errorCatalogue)
    .filter((kind) => kind.status === status)
    .map(({ title }) => title)
  return titles[0] === undefined ? 'A problem' : `A problem, such as: ${titles[0]}`
}
