/**
 * Whether engines may be started for a model after failures, and what callers are told meanwhile.
 *
 * Engines that end again and again are started less and less often; a file that cannot be loaded is left alone
 * for a while. It knows nothing of the engines themselves: `lane.ts` tells what happened and asks.
 */
import { ServiceError } from '../errors.ts'

/** After the second failure in a row restarts wait, doubling up to the longest. */
const [firstDelayMs, longestDelayMs] = [200, 10_000]
/** A file that cannot be loaded is tried again after so long. */
const brokenMs = 5000
/** A shorter wait is spent in the line, a longer one is told to the caller. */
const bearableMs = 1000

export class Availability {
  readonly #onResume: () => void
  #failures = 0
  #resumeAt = 0
  #timer: NodeJS.Timeout | undefined
  #loadFault: ServiceError | undefined

  /** `onResume` is called whenever a pause is over. */
  constructor(onResume: () => void) {
    this.#onResume = onResume
  }

  /** Whether no pause is going on. */
  get mayStart(): boolean {
    return this.#leftMs <= 0
  }

  /** Whether a pause is too long to be waited for in the line. */
  get isDown(): boolean {
    return this.#leftMs >= bearableMs
  }

  /** An engine has loaded the file. */
  loaded(): void {
    this.#loadFault = undefined
  }

  /** An engine has answered a batch. */
  answered(): void {
    this.#failures = 0
  }

  /** An engine has ended unasked. */
  failed(): void {
    this.#failures += 1
    if (this.#failures < 2) return
    this.#pause(Math.min(longestDelayMs, firstDelayMs * 2 ** (this.#failures - 2)))
  }

  /** The file cannot be loaded. */
  broken(fault: ServiceError): void {
    this.#loadFault = fault
    this.#pause(brokenMs)
  }

  /**
   * MODEL_NOT_READY, with what is wrong with the file if something is, else with `reason`.
   *
   * A model without an engine of which nothing bad is known has been crowded out by others.
   */
  notReady(reason: string, { loading = 0 } = {}): ServiceError {
    return new ServiceError('MODEL_NOT_READY', {
      detail: this.#loadFault?.detail ?? reason,
      isCrowdedOut: loading + this.#failures === 0 && this.#loadFault === undefined,
      retryAfter: Math.max(1, Math.ceil(this.#leftMs / 1000))
    })
  }

  /** What a request is told that nobody of so many engines has answered for `afterMs`. */
  tooLate(
    afterMs: number,
    { loaded, loading }: { readonly loaded: number; readonly loading: number }
  ): ServiceError {
    const seconds = afterMs / 1000
    if (loaded === 0) {
      return this.notReady(`Cannot predict: no engine was ready within ${seconds} s`, { loading })
    }
    const detail = `Cannot answer in time: the deadline is ${seconds} s`
    return new ServiceError('DEADLINE_EXCEEDED', { detail })
  }

  close(): void {
    clearTimeout(this.#timer)
  }

  get #leftMs(): number {
    return this.#resumeAt - performance.now()
  }

  #pause(delayMs: number): void {
    this.#resumeAt = performance.now() + delayMs
    clearTimeout(this.#timer)
    this.#timer = setTimeout(this.#onResume, delayMs + 1)
    this.#timer.unref()
  }
}
