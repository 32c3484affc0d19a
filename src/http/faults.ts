/**
 * Says what is wrong with a value, one fault for each place, each with its JSON pointer.
 *
 * Generic validators report every branch of a union that failed. A caller wants to know what is wrong
 * with the branch that was meant: the one whose constant members (`op`, `name`) were given.
 */
import type { TSchema } from 'typebox'
import Value from 'typebox/value'
import type { Fault } from '../errors.ts'
import { abbreviate } from './abbreviate.ts'
import { describe, type JsonSchema } from './describe-schema.ts'

/** More would not help anyone. */
const mostFaults = 50

/** Faults of `value` against `schema`, in document order; empty when it fits. */
export function findFaults(schema: TSchema, value: unknown): Fault[] {
  return walk(schema as JsonSchema, value, '').slice(0, mostFaults)
}

function walk(schema: JsonSchema, value: unknown, pointer: string): Fault[] {
  if (Value.Check(schema as TSchema, value)) return []
  if (schema.anyOf !== undefined) return walkUnion(schema, value, pointer)
  if (schema.properties !== undefined && isObject(value)) return walkObject(schema, value, pointer)
  if (schema.items !== undefined && Array.isArray(value)) return walkArray(schema, value, pointer)
  return [fault(pointer, `must be ${describe(schema)}`, value)]
}

function walkObject(schema: JsonSchema, value: Members, pointer: string): Fault[] {
  const properties = schema.properties ?? {}
  const missing = (schema.required ?? [])
    .filter((key) => !Object.hasOwn(value, key))
    .map((key) => fault(join(pointer, key), `is required: ${describe(properties[key] ?? {})}`))
  const present = Object.keys(value).flatMap((key) => {
    const member = Object.hasOwn(properties, key) ? properties[key] : undefined
    if (member !== undefined) return walk(member, value[key], join(pointer, key))
    if (schema.additionalProperties !== false) return []
    const known = Object.keys(properties).join(', ')
    return [fault(join(pointer, key), `is not supported here; known are ${known}`, value[key])]
  })
  const found = [...missing, ...present]
  return found.length > 0 ? found : [fault(pointer, `must be ${describe(schema)}`, value)]
}

function walkArray(schema: JsonSchema, value: readonly unknown[], pointer: string): Fault[] {
  const { minItems = 0, maxItems = Number.POSITIVE_INFINITY, items = {} } = schema
  if (value.length < minItems || value.length > maxItems) {
    return [fault(pointer, `must be ${describe(schema)}`, value)]
  }
  const faults: Fault[] = []
  for (const [index, item] of value.entries()) {
    faults.push(...walk(items, item, join(pointer, String(index))))
    if (faults.length >= mostFaults) break
  }
  return faults
}

function walkUnion(schema: JsonSchema, value: unknown, pointer: string): Fault[] {
  const branches = flatten(schema)
  const objects = branches.filter(({ properties }) => properties !== undefined)
  const arrays = branches.filter(({ items }) => items !== undefined)
  if (isObject(value) && objects.length > 0) return walkBranches(objects, value, pointer)
  if (Array.isArray(value) && arrays[0]) return walk(arrays[0], value, pointer)
  return [fault(pointer, `must be ${describe(schema)}`, value)]
}

function walkBranches(branches: readonly JsonSchema[], value: Members, pointer: string): Fault[] {
  const key = discriminator(branches)
  if (key === undefined) return leastFaults(branches.map((b) => walk(b, value, pointer)))
  const meant = branches.find(({ properties }) => properties?.[key]?.const === value[key])
  if (meant !== undefined) return walk(meant, value, pointer)
  const choices = branches.map(({ properties }) => properties?.[key] ?? {})
  return [fault(join(pointer, key), `must be ${describe({ anyOf: choices })}`, value[key])]
}

/** The member that is a constant in every branch, if there are several branches and such a member. */
function discriminator(branches: readonly JsonSchema[]): string | undefined {
  if (branches.length < 2) return undefined
  const every = (key: string) =>
    branches.every(({ properties }) => properties?.[key]?.const !== undefined)
  return Object.keys(branches[0]?.properties ?? {}).find(every)
}

const leastFaults = (found: readonly Fault[][]): Fault[] =>
  found.reduce((best, faults) => (faults.length < best.length ? faults : best))

const flatten = (schema: JsonSchema): JsonSchema[] =>
  schema.anyOf === undefined ? [schema] : schema.anyOf.flatMap(flatten)

type Members = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** RFC 6901 section 3. */
const join = (pointer: string, key: string): string =>
  `${pointer}/${key.slice(0, 200).replaceAll('~', '~0').replaceAll('/', '~1')}`

const fault = (pointer: string, detail: string, received?: unknown): Fault =>
  received === undefined ? { pointer, detail } : { pointer, detail, received: abbreviate(received) }
