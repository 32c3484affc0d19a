/**
 * The keys of `WHITTLE_API_KEYS`: `KEY`, `predict:KEY`, `train:sha256:HEX`, separated by commas.
 *
 * Whatever is wrong with one is said without it: messages end up in logs.
 */
import { type KeyScope, keyDigest, keyScopes } from './key.ts'

export interface ConfiguredKey {
  /** Hexadecimal. The key itself is not kept, and need not be in the environment. */
  readonly sha256: string
  readonly scope: KeyScope
}

/** Faults complete the sentence `WHITTLE_API_KEYS ...`. A key without a scope may do everything. */
export function readKeys(text: string) {
  const keys: ConfiguredKey[] = []
  const faults = new Set<string>()
  for (const part of text.split(',').map((untrimmed) => untrimmed.trim())) {
    if (part === '') continue
    const [, scope, key = ''] = form.exec(part) ?? []
    const digest = /^sha256:(.*)$/.exec(key)?.[1]?.toLowerCase()
    // `predict:$KEY` with nothing in the variable must not become a key for everything.
    if (key === '') faults.add(`must hold a key after ${scope}:`)
    if (digest !== undefined && !/^[0-9a-f]{64}$/.test(digest)) {
      faults.add('must hold 64 hexadecimal digits after sha256:')
    }
    keys.push({
      sha256: digest ?? keyDigest(key).toString('hex'),
      scope: keyScopes.find((known) => known === scope) ?? 'admin'
    })
  }
  return { keys, faults: [...faults] }
}

const form = new RegExp(`^(?:(${keyScopes.join('|')}):)?(.*)$`)
