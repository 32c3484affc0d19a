/**
 * Opens Redis the two ways BullMQ wants it: producers fail fast, consumers wait for ever.
 *
 * BullMQ guide, "Failing fast when Redis is down": a producer without offline queue answers at once, so
 * an api request never hangs on Redis; a consumer must have `maxRetriesPerRequest: null`.
 */
import { Redis, type RedisOptions } from 'ioredis'

const longestPauseMs = 2000
const reconnect = (attempt: number): number => Math.min(attempt * 100, longestPauseMs)

const modes = {
  producer: { enableOfflineQueue: false, maxRetriesPerRequest: 1, commandTimeout: 5000 },
  consumer: { maxRetriesPerRequest: null }
} satisfies Record<string, RedisOptions>

/**
 * Connects to `url` (`redis://`, `rediss://` or the path of a Unix socket), reconnecting for ever.
 *
 * Errors are handed to `onError` and otherwise ignored: the connection comes back by itself, and who
 * needs to know reads `status`.
 */
export function connect(
  url: string,
  { mode, onError }: { readonly mode: keyof typeof modes; readonly onError: (e: Error) => void }
): Redis {
  const redis = new Redis(url, { ...modes[mode], retryStrategy: reconnect })
  redis.on('error', onError)
  return redis
}
