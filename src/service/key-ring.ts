/**
 * All keys that open the api: those of the settings and those made over REST, found by their digest.
 *
 * Kept in memory, since every request asks; this process is the only writer, so what is revoked is
 * refused from the next request on. Keys made over REST count only while the settings hold one:
 * without, nobody is asked for a key, and a key made then would lock out whoever made it.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import type { CatalogTransaction } from '../catalog/database.ts'
import { newId } from '../catalog/id.ts'
import {
  allKeys,
  changeKey,
  insertKey,
  type KeyChanges,
  type KeyRow,
  revokeKey
} from '../catalog/keys.ts'
import type { Catalog } from '../catalog/open.ts'
import type { ConfiguredKey } from '../contract/configured-key.ts'
import { type Caller, type KeyLimits, type KeySpec, keyDigest } from '../contract/key.ts'
import { ServiceError } from '../errors.ts'

export interface KeyRingOptions {
  readonly db: Catalog
  readonly configured: readonly ConfiguredKey[]
  /** Limits of each configured key. */
  readonly defaults: KeyLimits
}

/** Who a key is of, or why it opens nothing. */
export type Lookup = { readonly caller: Caller } | { readonly refusal: string }

export interface MadeKey {
  readonly row: KeyRow
  readonly key: string
}

interface Entry {
  readonly digest: Buffer
  readonly caller: Caller
  /** Milliseconds since 1970. */
  readonly expiresAt: number
  readonly isRevoked: boolean
}

const secretBytes = 32

export class KeyRing {
  readonly #db: Catalog
  readonly #defaults: KeyLimits
  /** By hexadecimal digest. */
  readonly #entries = new Map<string, Entry>()
  /** Those made over REST, by id. */
  readonly #made = new Map<string, Entry>()
  /** Whether a key is asked for at all. */
  readonly isConfigured: boolean

  private constructor({ db, configured, defaults }: KeyRingOptions) {
    this.#db = db
    this.#defaults = defaults
    this.isConfigured = configured.length > 0
  }

  static async open(options: KeyRingOptions): Promise<KeyRing> {
    const ring = new KeyRing(options)
    for (const row of await allKeys(options.db)) ring.#note(row)
    // Of one key given twice the first counts, and a configured key before one made over REST.
    for (const key of [...options.configured].reverse()) ring.#noteConfigured(key)
    return ring
  }

  /**
   * Looks a key up by its SHA-256.
   *
   * The time that a look-up takes may tell how much of a digest agrees, but nobody can steer a digest
   * towards one that he does not know; what decides is compared in constant time all the same.
   */
  find(key: string, now = Date.now()): Lookup {
    const digest = keyDigest(key)
    const entry = this.#entries.get(digest.toString('hex'))
    if (entry === undefined || !timingSafeEqual(entry.digest, digest)) {
      return { refusal: 'the key is not known' }
    }
    if (entry.isRevoked) return { refusal: 'the key was revoked' }
    if (entry.expiresAt <= now) {
      return { refusal: `the key expired at ${new Date(entry.expiresAt).toISOString()}` }
    }
    return { caller: entry.caller }
  }

  /** Limits of whoever owns something, also of a key that opens nothing any more. */
  limitsOf(owner: string): KeyLimits {
    const made = this.#made.get(owner)?.caller.limits
    return made ?? (owner.startsWith(configuredPrefix) ? this.#defaults : {})
  }

  /** Whether the key of a caller who was let in still opens anything. Those of the settings always do. */
  isOpen(caller: string, now = Date.now()): boolean {
    const made = this.#made.get(caller)
    return made === undefined || (!made.isRevoked && made.expiresAt > now)
  }

  /**
   * Makes a key, which is ever seen only in what `describe` makes of it.
   *
   * @param describe called in the transaction that stores the digest of the key
   * @throws ServiceError KEYS_NOT_CONFIGURED
   */
  async create<T>(
    { name, scope, limits = {}, expiresAt = null }: KeySpec,
    describe: (trx: CatalogTransaction, made: MadeKey) => Promise<T>,
    now = new Date()
  ): Promise<T> {
    if (!this.isConfigured) {
      throw new ServiceError('KEYS_NOT_CONFIGURED', {
        detail:
          'Cannot make a key: no key is asked for while WHITTLE_API_KEYS is empty; set it to a key of your own, start again, and make others with that one'
      })
    }
    const id = newId('key', now.getTime())
    // The prefix lets scanners find keys that were published by mistake; the id tells which one it is.
    const key = `whittle_${id.slice('key_'.length)}_${randomBytes(secretBytes).toString('base64url')}`
    const row: KeyRow = {
      id,
      name,
      sha256: keyDigest(key).toString('hex'),
      scope,
      limits: JSON.stringify(limits),
      created_at: now.toISOString(),
      expires_at: inUtc(expiresAt),
      revoked_at: null
    }
    const described = await this.#db.transaction().execute(async (trx) => {
      await insertKey(trx, row)
      return describe(trx, { row, key })
    })
    this.#note(row)
    return described
  }

  /** @throws ServiceError KEY_NOT_FOUND */
  async change(id: string, { expiresAt, ...changes }: KeyChanges): Promise<KeyRow> {
    const expiry = expiresAt === undefined ? {} : { expiresAt: inUtc(expiresAt) }
    const row = await changeKey(this.#db, id, { ...changes, ...expiry })
    this.#note(row)
    return row
  }

  /** @throws ServiceError KEY_NOT_FOUND */
  async revoke(id: string): Promise<void> {
    this.#note(await revokeKey(this.#db, id))
  }

  #note(row: KeyRow): void {
    const limits = JSON.parse(row.limits) as KeyLimits
    // A change that was on its way when the key was revoked does not bring it back.
    const wasRevoked = this.#entries.get(row.sha256)?.isRevoked === true
    const entry: Entry = {
      digest: Buffer.from(row.sha256, 'hex'),
      caller: { id: row.id, scope: row.scope, limits },
      expiresAt: row.expires_at === null ? Number.POSITIVE_INFINITY : Date.parse(row.expires_at),
      isRevoked: wasRevoked || row.revoked_at !== null
    }
    this.#entries.set(row.sha256, entry)
    this.#made.set(row.id, entry)
  }

  #noteConfigured({ sha256, scope }: ConfiguredKey): void {
    const id = `${configuredPrefix}${sha256.slice(0, 8)}`
    this.#entries.set(sha256, {
      digest: Buffer.from(sha256, 'hex'),
      caller: { id, scope, limits: this.#defaults },
      expiresAt: Number.POSITIVE_INFINITY,
      isRevoked: false
    })
  }
}

const configuredPrefix = 'env_'

const inUtc = (time: string | null): string | null =>
  time === null ? null : new Date(time).toISOString()
