/** Writes what the api answers to a file, asking again when it breaks off. */
import { createWriteStream } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { asDiskError, ServiceError } from '../errors.ts'
import { BrokenOff, type Call, type Send } from './api-call.ts'

/**
 * @throws BrokenOff when the api is there and still does not get to the end of it, as with a file that is
 *   cut short; ServiceError DISK_FULL; what a call throws.
 */
export async function download(send: Send, call: Call, file: string): Promise<void> {
  await send(call, async ({ body }) => {
    if (body === null) throw new BrokenOff(`Cannot download ${call.path}: received no body`)
    try {
      await pipeline(Readable.fromWeb(body), createWriteStream(file), { signal: call.signal })
    } catch (cause) {
      const error = asDiskError(cause, `download ${call.path}`)
      if (error instanceof ServiceError || call.signal.aborted) throw error
      throw new BrokenOff(`Cannot download ${call.path}: ${cause}`, { cause })
    }
  })
}
