/**
 * Counter-based randomness: Threefry-2x32, 20 rounds.
 *
 * Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011. A number is a pure function of
 * (key, counter), so a draw depends on what it is for and never on how many came before it, on batch
 * order or on a restart. Only additions, rotations and XORs of 32 bits: cheap in JavaScript, the same
 * everywhere. Initial weights, shuffling and augmentation all draw from here; nothing here knows tfjs.
 */

/** Names one stream: made by `randomKey` from a seed and a path. */
export interface RandomKey {
  readonly high: number
  readonly low: number
}

const PARITY = 0x1bd11bda
const WORD = 2 ** -32
const rotations = [13, 15, 26, 6, 17, 29, 16, 24] as const

/** Encrypts the counter (first, second) under the key, into `out[0]` and `out[1]` (uint32). */
export const threefry = (key: RandomKey, first: number, second: number, out: Uint32Array): void => {
  const k0 = key.high | 0
  const k1 = key.low | 0
  const schedule2 = k0 ^ k1 ^ PARITY
  let a = (first + k0) | 0
  let b = (second + k1) | 0
  let [x, y, z] = [k1, schedule2, k0]
  for (let round = 0; round < 5; round++) {
    const from = (round & 1) * 4
    for (let i = from; i < from + 4; i++) {
      const r = rotations[i] as number
      a = (a + b) | 0
      b = ((b << r) | (b >>> (32 - r))) ^ a
    }
    a = (a + x) | 0
    b = (b + y + round + 1) | 0
    const rotated = x
    x = y
    y = z
    z = rotated
  }
  out[0] = a
  out[1] = b
}

/**
 * The key of what `path` names under `seed`: `randomKey(7, 'augment', epoch, opIndex)`.
 *
 * Every component is mixed in turn, so different paths give unrelated streams. Numbers are taken modulo
 * 2^32; strings by their FNV-1a hash.
 */
export const randomKey = (seed: number, ...path: readonly (number | string)[]): RandomKey => {
  const out = new Uint32Array(2)
  let key: RandomKey = { high: seed >>> 0, low: Math.floor(seed / 2 ** 32) >>> 0 }
  for (const component of path) {
    const isText = typeof component === 'string'
    threefry(key, isText ? hashText(component) : component >>> 0, isText ? 1 : 0, out)
    key = { high: out[0] as number, low: out[1] as number }
  }
  return key
}

const hashText = (text: string): number => {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  }
  return hash >>> 0
}

/** Reads the numbers of a key. `at(i)` jumps to the stream of element i without allocating anything. */
export class Random {
  readonly #key: RandomKey
  readonly #words = new Uint32Array(2)
  #element = 0
  #block = 0
  #spare = false

  constructor(key: RandomKey) {
    this.#key = key
  }

  /** Goes to the first number of element `index` (taken modulo 2^32). */
  at(index: number): this {
    this.#element = index >>> 0
    this.#block = 0
    this.#spare = false
    return this
  }

  /** The next word, 0..2^32-1. */
  word(): number {
    if (this.#spare) {
      this.#spare = false
      return this.#words[1] as number
    }
    threefry(this.#key, this.#element, this.#block++, this.#words)
    this.#spare = true
    return this.#words[0] as number
  }

  /** Uniform in [0, 1), 32 bits. */
  uniform(): number {
    return this.word() * WORD
  }

  /** Uniform in [low, high). */
  between(low: number, high: number): number {
    return low + (high - low) * this.uniform()
  }

  /** Standard normal, Box and Muller 1958. */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()))
    return radius * Math.cos(2 * Math.PI * this.uniform())
  }
}

/** A permutation of 0..n-1, Fisher and Yates 1938. */
export const permutation = (key: RandomKey, n: number): Uint32Array => {
  const random = new Random(key)
  const order = Uint32Array.from({ length: n }, (_, i) => i)
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor(random.uniform() * (i + 1))
    const held = order[i] as number
    order[i] = order[j] as number
    order[j] = held
  }
  return order
}
