/**
 * Checks requests against their TypeBox schemas before a handler sees them.
 *
 * Bodies are taken as they are: a number in quotes is a fault. Addresses carry text only, so numbers
 * and booleans in paths and queries are converted, and defaults filled in.
 */
import type { FastifySchemaCompiler } from 'fastify'
import type { TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { ServiceError } from '../errors.ts'
import type { JsonSchema } from './describe-schema.ts'
import { findFaults } from './faults.ts'

export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, method, httpPart }) => {
  const compiled = Compile(schema)
  return (given: unknown) => {
    const value = httpPart === 'body' ? given : convert(schema as JsonSchema, given)
    if (compiled.Check(value)) return { value }
    return { error: refusal(schema, value, { method, part: httpPart ?? 'body' }) }
  }
}

function refusal(
  schema: TSchema,
  value: unknown,
  { method, part }: { readonly method: string; readonly part: string }
): ServiceError {
  const errors = findFaults(schema, value)
  const name = partNames[part] ?? part
  // Nothing can be found at an address that nothing can have.
  const absent = part === 'params' && ['GET', 'HEAD', 'DELETE'].includes(method)
  return new ServiceError(absent ? 'ROUTE_NOT_FOUND' : 'REQUEST_INVALID', {
    detail: `Cannot accept the ${name}: ${errors.length === 1 ? 'one fault' : `${errors.length} faults`} found`,
    errors
  })
}

const partNames: Readonly<Record<string, string>> = {
  body: 'request body',
  params: 'path parameters',
  querystring: 'query parameters',
  headers: 'headers'
}

function convert(schema: JsonSchema, given: unknown): unknown {
  const members: Record<string, unknown> = { ...(given as object) }
  for (const [key, member] of Object.entries(schema.properties ?? {})) {
    if (members[key] === undefined && member.default !== undefined) members[key] = member.default
    else if (typeof members[key] === 'string') members[key] = fromText(member, members[key])
  }
  return members
}

function fromText(schema: JsonSchema, text: string): unknown {
  if (schema.type === 'integer' || schema.type === 'number') {
    return /^-?\d{1,15}(\.\d{1,15})?$/.test(text) ? Number(text) : text
  }
  if (schema.type === 'boolean' && (text === 'true' || text === 'false')) return text === 'true'
  return text
}
