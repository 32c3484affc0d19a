/** Shortens a received value, so that an error answer shows it but never echoes a whole body. */
const longestText = 200
const longestList = 8

/** Numbers, booleans and short texts and lists as they are; anything larger as a description. */
export function abbreviate(value: unknown): unknown {
  if (typeof value === 'string') return shorten(value)
  if (Array.isArray(value)) {
    const simple = value.length <= longestList && value.every((v) => !isStructure(v))
    return simple ? value.map(abbreviate) : `an array of ${value.length} items`
  }
  if (isStructure(value)) return `an object with ${Object.keys(value).length} members`
  return value
}

const isStructure = (value: unknown): value is object => typeof value === 'object' && value !== null

const shorten = (text: string): string =>
  text.length <= longestText ? text : `${text.slice(0, longestText)}… (${text.length} characters)`
