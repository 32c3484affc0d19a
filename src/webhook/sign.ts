/**
 * Signatures of webhooks, by which a receiver knows who sent a message, that it is whole, and when it was sent.
 *
 * Standard Webhooks 1.0 (standardwebhooks.com), symmetric scheme: HMAC-SHA256 over
 * `id.timestamp.body`, so that neither another message's id nor an old time can be put on a body.
 */
import { createHmac } from 'node:crypto'

export interface Message {
  /** The same at every try; holds no full stop. */
  readonly id: string
  /** Of this try, in seconds since 1970. */
  readonly timestamp: number
  readonly body: string
}

/** The value of `webhook-signature`: `v1,` and the signature in base64. */
export function sign({ id, timestamp, body }: Message, key: Uint8Array): string {
  const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')
  return `v1,${signature}`
}
