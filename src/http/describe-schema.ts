/** Says in words what a schema asks for: "an integer from 1 to 200". */

/** The part of JSON Schema that whittle's contracts use. */
export interface JsonSchema {
  readonly type?: string
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly anyOf?: readonly JsonSchema[]
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: boolean | JsonSchema
  readonly items?: JsonSchema
  readonly minItems?: number
  readonly maxItems?: number
  readonly minimum?: number
  readonly maximum?: number
  readonly exclusiveMinimum?: number
  readonly exclusiveMaximum?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly pattern?: string
  readonly default?: unknown
}

/** Reads on after "must be". */
export function describe(schema: JsonSchema): string {
  if (schema.const !== undefined) return JSON.stringify(schema.const)
  if (schema.enum !== undefined) return alternatives(schema.enum.map((v) => JSON.stringify(v)))
  if (schema.anyOf !== undefined) return alternatives(schema.anyOf.map(describe))
  switch (schema.type) {
    case 'integer':
      return `an integer${range(schema)}`
    case 'number':
      return `a number${range(schema)}`
    case 'string':
      return `a text${textLimits(schema)}`
    case 'boolean':
      return 'true or false'
    case 'array':
      return `an array${span(schema.minItems, schema.maxItems, 'items')}`
    case 'object':
      return 'an object'
    case 'null':
      return 'null'
    default:
      return 'a value'
  }
}

function alternatives(all: readonly string[]): string {
  const texts = [...new Set(all)]
  const last = texts.pop() ?? 'a value'
  return texts.length === 0 ? last : `${texts.join(', ')} or ${last}`
}

function range(schema: JsonSchema): string {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = schema
  if (minimum !== undefined && maximum !== undefined) return ` from ${minimum} to ${maximum}`
  const bounds = [
    minimum === undefined ? [] : [`at least ${minimum}`],
    exclusiveMinimum === undefined ? [] : [`greater than ${exclusiveMinimum}`],
    maximum === undefined ? [] : [`at most ${maximum}`],
    exclusiveMaximum === undefined ? [] : [`less than ${exclusiveMaximum}`]
  ].flat()
  return bounds.length === 0 ? '' : ` ${bounds.join(' and ')}`
}

function textLimits({ pattern, minLength, maxLength }: JsonSchema): string {
  if (pattern !== undefined) return ` that matches ${pattern}`
  return span(minLength, maxLength, 'characters')
}

function span(least: number | undefined, most: number | undefined, unit: string): string {
  if (least !== undefined && most !== undefined) {
    return least === most ? ` of ${least} ${unit}` : ` of ${least} to ${most} ${unit}`
  }
  if (least !== undefined) return ` of at least ${least} ${unit}`
  return most === undefined ? '' : ` of at most ${most} ${unit}`
}
