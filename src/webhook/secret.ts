/**
 * The key that webhooks are signed with: the one that was set, else one that is made at first use.
 *
 * The made one lies in a file that only its owner may read, and stays: receivers keep a copy of it.
 */
import { randomBytes } from 'node:crypto'
import { open, readFile, rename, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { webhookSecretPattern } from '../contract/delivery.ts'

const keyBytes = 32
const prefix = 'whsec_'
const secretFormat = new RegExp(`^${webhookSecretPattern}$`)

export interface WebhookSecret {
  /** `whsec_...`, or null when none was set. */
  readonly given: string | null
  /** Where a made one is kept. Its folder exists. */
  readonly file: string
}

/** A function that gives the key's bytes, reading or making the file at its first call. */
export function webhookKey({ given, file }: WebhookSecret): () => Promise<Uint8Array> {
  let known: Promise<Uint8Array> | null = null
  return () => {
    known ??= (given === null ? keptSecret(file) : Promise.resolve(given)).then(bytesOf)
    // What cannot be read now may be readable later.
    known.catch(() => {
      known = null
    })
    return known
  }
}

async function keptSecret(file: string): Promise<string> {
  const secret = (await readIfThere(file))?.trim() ?? (await makeSecret(file))
  if (secretFormat.test(secret)) return secret
  throw new Error(`Cannot sign webhooks: ${file} does not hold a secret such as whsec_...`)
}

async function readIfThere(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

/** Written aside and renamed, flushed both: a secret that has signed a message is never lost. */
async function makeSecret(file: string): Promise<string> {
  const secret = `${prefix}${randomBytes(keyBytes).toString('base64')}`
  await writeFile(`${file}.new`, `${secret}\n`, { mode: 0o600, flush: true })
  await rename(`${file}.new`, file)
  const folder = await open(dirname(file))
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
  return secret
}

const bytesOf = (secret: string): Uint8Array => Buffer.from(secret.slice(prefix.length), 'base64')
