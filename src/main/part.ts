/**
 * A process that `npm start` keeps alive: started again with back-off when it ends unasked.
 *
 * What the process is (a role, the private Redis) is the business of `launch`; here is only when.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'

export interface Ending {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** A process that is up. `stop` asks it to end, insists after a while, and resolves when it is gone. */
export interface Running {
  readonly ended: Promise<Ending>
  stop(): Promise<void>
}

/** Thrown by `launch` when starting again cannot help: a bad setting, a port that is taken. */
export class CannotStartError extends Error {
  override readonly name = 'CannotStartError'
}

/**
 * Starts a process and resolves once it does its work. Rejects when it ends before that, and when
 * the signal ends the attempt; nothing of it is left then.
 */
export type Launch = (signal: AbortSignal) => Promise<Running>

interface PartOptions {
  readonly name: string
  readonly launch: Launch
  readonly log: Logger
  /** Called when the part is given up. */
  readonly onGivenUp: (error: Error) => void
  /**
   * How often a process is tried that has never worked: more time may not be what it lacks. @default 5
   */
  readonly firstTries?: number
  /** First pause before another start; doubled each time, up to 30 s. @default 500 */
  readonly firstPauseMs?: number
}

const longestPauseMs = 30_000
/** A process that lived this long starts with the first pause again. */
const steadyMs = 60_000

export class Part {
  readonly #options: PartOptions
  readonly #stopping = new AbortController()
  #running: Running | null = null
  /** The start under way, then the watch over the process. Never rejects. */
  #loop: Promise<unknown> = Promise.resolve()
  #failures = 0

  constructor(options: PartOptions) {
    this.#options = options
  }

  /**
   * Resolves once the process works for the first time.
   *
   * @throws Error when it cannot start, at once for a CannotStartError, else after the last try: one that
   *   is killed while it starts must not take the other parts along
   */
  async start(): Promise<void> {
    const launching = this.#launchFirst()
    this.#loop = launching.then(
      (first) => this.#keep(first),
      () => {}
    )
    await launching
  }

  /** Ends the process, and any start that is under way. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#running?.stop()
    await this.#loop
  }

  async #launchFirst(): Promise<Running> {
    const { name, launch, log, firstTries = 5 } = this.#options
    const { signal } = this.#stopping
    for (let tries = 1; ; tries += 1) {
      try {
        return await launch(signal)
      } catch (error) {
        const isLast = tries === firstTries || error instanceof CannotStartError
        if (isLast || signal.aborted) throw error
        log.error({ part: name, err: error }, 'did not start')
        await this.#pause()
      }
    }
  }

  async #keep(first: Running): Promise<void> {
    for (let running: Running | null = first; running !== null; ) {
      this.#running = running
      if (this.#stopping.signal.aborted) await running.stop()
      const since = performance.now()
      const ending: Ending = await running.ended
      this.#running = null
      if (this.#stopping.signal.aborted) return
      if (performance.now() - since > steadyMs) this.#failures = 0
      this.#options.log.warn({ part: this.#options.name, ...ending }, 'ended unasked')
      running = await this.#startAgain()
    }
  }

  async #startAgain(): Promise<Running | null> {
    const { name, launch, log, onGivenUp } = this.#options
    const { signal } = this.#stopping
    while (!signal.aborted) {
      await this.#pause()
      if (signal.aborted) break
      try {
        const running = await launch(signal)
        log.info({ part: name }, 'started again')
        return running
      } catch (error) {
        if (signal.aborted) break
        if (error instanceof CannotStartError) {
          onGivenUp(error)
          break
        }
        log.error({ part: name, err: error }, 'did not start')
      }
    }
    return null
  }

  /** The back-off, ended early by `stop`. */
  async #pause(): Promise<void> {
    const { firstPauseMs = 500 } = this.#options
    const pauseMs = Math.min(longestPauseMs, firstPauseMs * 2 ** this.#failures++)
    await sleep(pauseMs, undefined, { signal: this.#stopping.signal }).catch(() => {})
  }
}
