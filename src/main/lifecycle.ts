/**
 * How every role ends: on SIGTERM, SIGINT or SIGHUP, when its parent says so, and when that is gone.
 *
 * Ctrl-C in a terminal, or closing it, reaches all processes of `npm start` at once; a role with a
 * parent therefore leaves both to it, so that workers end before the api that they report to.
 */
import type { Logger } from 'pino'

/** 78 is EX_CONFIG of sysexits(3): `npm start` does not restart a role that ends with it. */
export const exitCodes = { done: 0, failed: 1, cannotStart: 78 } as const

/**
 * How the 20 seconds are spent in which everything ends, in milliseconds. `npm start` ends its parts one
 * after the other: worker, api, Redis. Whoever takes longer than its share is killed; what that costs is a
 * checkpoint at most, and the job goes on from the one before.
 */
export const endingMs = {
  /** A trainer finishes its step and writes a checkpoint; then it is terminated, and killed. */
  trainer: 9000,
  /** The checkpoint is sent to the api. */
  report: 3000,
  /** Both, and a second and a half for the trainer's end, the outcome, and leaving Redis. */
  worker: 14_000,
  /** Requests that are being answered. */
  requests: 2000,
  /** They, the inference processes and the catalogue. */
  api: 3500,
  redis: 1500,
  all: 20_000
} as const

/**
 * Runs `close` once, when the process is asked to end, then exits. A second signal exits at once, and
 * so does the end of `withinMs`: with nobody left to insist, a role that waits for something that has
 * gone would stay for ever.
 */
export function onEnd(
  log: Logger,
  close: () => Promise<void>,
  { withinMs = Number.POSITIVE_INFINITY }: { readonly withinMs?: number } = {}
): void {
  const hasParent = process.send !== undefined
  let ending = false
  const end = (why: string): void => {
    if (ending) return
    ending = true
    log.info({ why }, 'ending')
    if (Number.isFinite(withinMs)) {
      const insist = (): never => process.exit(exitCodes.failed)
      setTimeout(insist, withinMs).unref()
    }
    close().then(
      () => process.exit(exitCodes.done),
      (error) => {
        log.error({ err: error }, 'ending failed')
        process.exit(exitCodes.failed)
      }
    )
  }
  const signalled = (signal: NodeJS.Signals): void => {
    if (ending) process.exit(exitCodes.failed)
    end(signal)
  }
  process.on('SIGTERM', signalled)
  const fromTerminal = hasParent ? () => {} : signalled
  process.on('SIGINT', fromTerminal)
  process.on('SIGHUP', fromTerminal)
  process.on('message', (message) => {
    if (isShutdown(message)) end('asked by the parent')
  })
  process.on('disconnect', () => end('the parent is gone'))
  // It may have gone while this process was still loading.
  if (hasParent && !process.connected) end('the parent is gone')
}

function isShutdown(message: unknown): boolean {
  return (message as { type?: unknown } | null)?.type === 'shutdown'
}
