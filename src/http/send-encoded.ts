/** Sends bytes in gzip or deflate where the caller takes it and it is worth it (RFC 9110, section 12.5.3). */
import { promisify } from 'node:util'
import { deflate, gzip } from 'node:zlib'
import type { FastifyReply, FastifyRequest } from 'fastify'

/** Shorter bodies travel in one packet anyway. */
const worthBytes = 1024

const encoders = { gzip: promisify(gzip), deflate: promisify(deflate) } as const

export async function sendEncoded(request: FastifyRequest, reply: FastifyReply, body: Buffer) {
  reply.header('vary', 'accept-encoding')
  const encoding = acceptedEncoding(request.headers['accept-encoding'])
  if (encoding === undefined || body.length < worthBytes) return reply.send(body)
  reply.header('content-encoding', encoding)
  return reply.send(await encoders[encoding](body, { level: 1 }))
}

/** gzip before deflate; undefined when neither is accepted. A weight of 0 refuses one. */
function acceptedEncoding(header = ''): keyof typeof encoders | undefined {
  const accepted = new Map(
    header
      .toLowerCase()
      .split(',')
      .map((one) => {
        const [name = '', ...parameters] = one.split(';').map((part) => part.trim())
        const weight = parameters.find((part) => part.startsWith('q='))
        return [name, weight === undefined ? 1 : Number(weight.slice(2))] as const
      })
  )
  return (['gzip', 'deflate'] as const).find((name) => (accepted.get(name) ?? 0) > 0)
}
