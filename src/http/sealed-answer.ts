/**
 * Keeps an answer that holds a secret, for `Idempotency-Key`, so that only who caused it can read it.
 *
 * AES-256-GCM (NIST SP 800-38D) under a key derived by HKDF (RFC 5869) from the bearer key of the
 * request. Of that one the catalogue has only the digest, so a stolen catalogue opens nothing.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'

const algorithm = 'aes-256-gcm'
const [saltBytes, nonceBytes, tagBytes] = [16, 12, 16]

/** The text, encrypted: base64 of salt, nonce, tag and cipher text. */
export function seal(text: string, secret: string): string {
  const [salt, nonce] = [randomBytes(saltBytes), randomBytes(nonceBytes)]
  const cipher = createCipheriv(algorithm, derive(secret, salt), nonce)
  const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
  return Buffer.concat([salt, nonce, cipher.getAuthTag(), sealed]).toString('base64')
}

/** @throws Error when it was sealed with another secret, or has been changed */
export function unseal(sealed: string, secret: string): string {
  const bytes = Buffer.from(sealed, 'base64')
  const [nonceAt, tagAt] = [saltBytes, saltBytes + nonceBytes]
  const textAt = tagAt + tagBytes
  const key = derive(secret, bytes.subarray(0, nonceAt))
  const cipher = createDecipheriv(algorithm, key, bytes.subarray(nonceAt, tagAt))
  cipher.setAuthTag(bytes.subarray(tagAt, textAt))
  return cipher.update(bytes.subarray(textAt), undefined, 'utf8') + cipher.final('utf8')
}

const derive = (secret: string, salt: Buffer): Buffer =>
  Buffer.from(hkdfSync('sha256', secret, salt, 'whittle kept answer', 32))
