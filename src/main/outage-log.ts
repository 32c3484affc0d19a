/** Logs an outage once, not once per attempt to reconnect. */
import type { Logger } from 'pino'

const repeatAfterMs = 60_000

/** A handler for connection errors: the same message is logged again only after a minute. */
export function outageLog(log: Logger, part: string): (error: Error) => void {
  const last = new Map<string, number>()
  return (error) => {
    const now = performance.now()
    if (now - (last.get(error.message) ?? Number.NEGATIVE_INFINITY) < repeatAfterMs) return
    last.set(error.message, now)
    log.warn({ part, reason: error.message }, 'connection failed, trying again')
  }
}
