/**
 * Ids of everything the catalogue holds: a prefix, then 26 letters and digits that sort by creation.
 *
 * The layout is that of a ULID (48 bits of milliseconds, 80 random bits, Crockford's base 32) in lower
 * case; within a process ids never go back, so that lists can be ordered and paged by id alone.
 */
import { randomFillSync } from 'node:crypto'

export type IdPrefix = 'ds' | 'exp' | 'img' | 'job' | 'key' | 'msg' | 'pred'

const alphabet = '0123456789abcdefghjkmnpqrstvwxyz'
/** The random bits of an id are two halves of forty, since a number holds 53. */
const half = 2 ** 40
/** Drawn for many ids at a time: asking the system costs more than all the rest of one. */
const pool = Buffer.alloc(10 * 256)
let used = pool.length
let last = { ms: 0, high: 0, low: 0 }

/** A new id such as `job_01k9...`, greater than every id this process has made before. */
export function newId(prefix: IdPrefix, now = Date.now()): string {
  const drawn = draw(now)
  last = isAfter(drawn, last) ? drawn : next(last)
  return `${prefix}_${encode(last.ms, 10)}${encode(last.high, 8)}${encode(last.low, 8)}`
}

function draw(ms: number): typeof last {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  used += 10
  return { ms, high: pool.readUIntBE(used - 10, 5), low: pool.readUIntBE(used - 5, 5) }
}

const isAfter = (a: typeof last, b: typeof last): boolean =>
  a.ms !== b.ms ? a.ms > b.ms : a.high !== b.high ? a.high > b.high : a.low > b.low

function next({ ms, high, low }: typeof last): typeof last {
  if (low + 1 < half) return { ms, high, low: low + 1 }
  return high + 1 < half ? { ms, high: high + 1, low: 0 } : { ms: ms + 1, high: 0, low: 0 }
}

/** The last `length` digits of a number in base 32. */
function encode(value: number, length: number): string {
  let text = ''
  for (let rest = value, i = 0; i < length; i++, rest = Math.floor(rest / 32)) {
    text = `${alphabet[rest % 32]}${text}`
  }
  return text
}

/** What every id of a millisecond begins with at least: no id made before it is greater. */
export function timePrefix(prefix: IdPrefix, now: number): string {
  return `${prefix}_${encode(now, 10)}${'0'.repeat(16)}`
}
