/** A real HTTP server that webhooks are sent to, which writes down what it was told. */
import { createHmac } from 'node:crypto'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'

export interface Received {
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export interface WebhookReceiver {
  readonly url: string
  readonly port: number
  readonly received: Received[]
  /** Answers the n-th message, from 0. */
  answer: (response: ServerResponse, n: number) => void
}

/**
 * Listens on a free port of 127.0.0.1 and ends with the test. Takes every message at first. Nobody
 * listens on that port of 127.0.0.2.
 */
export async function webhookReceiver(t: TestContext): Promise<WebhookReceiver> {
  const received: Received[] = []
  const answer = (response: ServerResponse) => void response.end('ok')
  const server = createServer(async (request, response) => {
    const chunks = await Array.fromAsync(request as AsyncIterable<Buffer>).catch(() => null)
    if (chunks === null) return
    const { url: path = '', headers } = request
    received.push({ path, headers, body: Buffer.concat(chunks).toString() })
    receiver.answer(response, received.length - 1)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const url = `http://127.0.0.1:${port}/hook?token=hidden`
  const receiver: WebhookReceiver = { url, port, received, answer }
  return receiver
}

/** Whether a message was signed with a secret, computed as a receiver would. */
export function isSigned({ headers, body }: Received, secret: string): boolean {
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64')
  const text = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`
  const expected = createHmac('sha256', key).update(text).digest('base64')
  return headers['webhook-signature'] === `v1,${expected}`
}
