/**
 * Ids of everything the catalogue holds: a prefix, then 26 letters and digits that sort by creation.
 *
 * The layout is that of a ULID (48 bits of milliseconds, 80 random bits, Crockford's base 32) in lower
 * case; within a process ids never go back, so that lists can be ordered and paged by id alone.
 */
import { randomBytes } from 'node:crypto'

export type IdPrefix = 'ds' | 'exp' | 'img' | 'job' | 'key' | 'msg' | 'pred'

const alphabet = '0123456789abcdefghjkmnpqrstvwxyz'
const randomBits = 80n
let last = 0n

/** A new id such as `job_01k9...`, greater than every id this process has made before. */
export function newId(prefix: IdPrefix, now = Date.now()): string {
  const drawn = (BigInt(now) << randomBits) | BigInt(`0x${randomBytes(10).toString('hex')}`)
  last = drawn > last ? drawn : last + 1n
  return `${prefix}_${encode(last)}`
}

function encode(value: bigint): string {
  let text = ''
  for (let shift = 125n; shift >= 0n; shift -= 5n) text += alphabet[Number((value >> shift) & 31n)]
  return text
}

/** What every id of a millisecond begins with at least: no id made before it is greater. */
export function timePrefix(prefix: IdPrefix, now: number): string {
  return `${prefix}_${encode(BigInt(now) << randomBits)}`
}
