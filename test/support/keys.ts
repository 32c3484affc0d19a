/** Keys of the settings, as `WHITTLE_API_KEYS` would give them. */
import type { ConfiguredKey } from '../../src/contract/configured-key.ts'
import { type KeyScope, keyDigest } from '../../src/contract/key.ts'

export const apiKey = (key: string, scope: KeyScope): ConfiguredKey => ({
  sha256: keyDigest(key).toString('hex'),
  scope
})

/** The header that shows a key. */
export const showing = (key: string) => ({ authorization: `Bearer ${key}` })
