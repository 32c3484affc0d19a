/**
 * Remembers why every left-out member of a recipe got its value.
 *
 * What the caller gave is taken as it is and gets no reason: it needs none.
 */
export class Decisions {
  readonly #reasons = new Map<string, string>()

  /** The given value, or else `value` with its reason under `pointer` (RFC 6901, from the recipe's root). */
  fill<T>(pointer: string, given: T | undefined, value: T, reason: string): T {
    if (given !== undefined) return given
    this.#reasons.set(pointer, reason)
    return value
  }

  get reasons(): Readonly<Record<string, string>> {
    return Object.fromEntries(this.#reasons)
  }
}
