/**
 * `Range` of a request against a file of known size and entity tag (RFC 9110 section 14).
 *
 * One range is served; several are answered with the whole file, which section 14.2 allows.
 */

export interface ByteRange {
  readonly start: number
  /** The last byte, included. */
  readonly end: number
}

export interface RangeQuestion {
  readonly range: string | undefined
  /** `If-Range`: the range counts only for this entity tag. */
  readonly ifRange: string | undefined
  readonly etag: string
  readonly bytes: number
}

/** The part that is asked for, null for the whole file, 'unsatisfiable' for 416. */
export function byteRange(question: RangeQuestion): ByteRange | null | 'unsatisfiable' {
  const { range, ifRange, etag, bytes } = question
  if (ifRange !== undefined && ifRange !== etag) return null
  const [, first, last] = /^bytes=[ \t]*(\d{0,15})-(\d{0,15})[ \t]*$/i.exec(range ?? '') ?? []
  if (first === undefined || last === undefined || first + last === '') return null
  if (first === '') {
    const length = Math.min(Number(last), bytes)
    return length === 0 ? 'unsatisfiable' : { start: bytes - length, end: bytes - 1 }
  }
  const [start, end] = [Number(first), last === '' ? bytes - 1 : Number(last)]
  if (last !== '' && end < start) return null // not a range at all: section 14.1.1
  return start >= bytes ? 'unsatisfiable' : { start, end: Math.min(end, bytes - 1) }
}

/** Whether a list of entity tags (`If-None-Match`) names this one; weak comparison, section 13.1.2. */
export function namesTag(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false
  return header
    .split(',')
    .map((part) => part.trim().replace(/^W\//, ''))
    .some((tag) => tag === '*' || tag === etag)
}
