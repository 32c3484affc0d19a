/** Takes the webhooks of a run, as a backend would: checks each signature and keeps what was told. */
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { Job } from '../../src/contract/job.ts'

export interface Told {
  /** The same at every try. */
  readonly id: string
  readonly job: string
  readonly state: string
  readonly isSigned: boolean
}

export class Receiver {
  readonly told: Told[] = []
  readonly #server: Server
  readonly #key: Buffer

  /** @param secret as in WHITTLE_WEBHOOK_SECRET */
  constructor(secret: string) {
    this.#key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64')
    this.#server = createServer((request, response) => {
      this.#take(request).then(
        () => response.writeHead(204).end(),
        () => response.writeHead(400).end()
      )
    })
  }

  /** Listens on loopback. Resolves with the address to be told at. */
  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('There is no free port')
    return `http://127.0.0.1:${address.port}/told`
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }

  async #take(request: IncomingMessage): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const body = Buffer.concat(chunks).toString()
    const header = (name: string): string => String(request.headers[`webhook-${name}`])
    const [id, timestamp] = [header('id'), header('timestamp')]
    // Standard Webhooks 1.0: several signatures may be given, separated by spaces.
    const text = `${id}.${timestamp}.${body}`
    const signature = `v1,${createHmac('sha256', this.#key).update(text).digest('base64')}`
    const isSigned = header('signature').split(' ').includes(signature)
    const job: Job = JSON.parse(body).data
    this.told.push({ id, job: job.id, state: job.state, isSigned })
  }
}
