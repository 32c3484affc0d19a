/**
 * The meter: a child process that times models and ends. Entry file, forked by `measure.ts`.
 *
 * It ends with its parent.
 */
import { endWithParent } from '../end-with-parent.ts'
import { ServiceError } from '../errors.ts'
import { openSession, type Session } from '../runtime/session.ts'

export interface MeterOrder {
  readonly paths: readonly string[]
  readonly batch: number
  readonly threads: number
  readonly runs: number
}

/** Times in ms, [path][round][run]; or why a file cannot be loaded. */
export type FromMeter = { readonly times: number[][][] } | { readonly detail: string }

const rounds = 20
/** Runs before each timed stretch, while caches still hold the previous model. */
const settling = 2
const budgetMs = 120_000

endWithParent()
process.on('SIGINT', () => {})
process.on('message', (order: MeterOrder) => {
  void measure(order)
})

async function measure({ paths, batch, threads, runs }: MeterOrder): Promise<void> {
  try {
    const sessions: Session[] = []
    for (const path of paths) sessions.push(await openSession(path, { threads }))
    const images = sessions.map((session) => noise(batch * pixels(session)))
    const times: number[][][] = sessions.map(() => [])
    const perRound = Math.max(1, Math.ceil(runs / rounds))
    const endAt = performance.now() + budgetMs
    for (let round = -1; round < rounds; round++) {
      for (const i of turns(sessions.length, round)) {
        const stretch = await time(sessions[i], { images: images[i], batch, runs: perRound, endAt })
        // Round -1 warms up: the first runs allocate, and the processor raises its clock.
        if (round >= 0) times[i]?.push(stretch)
      }
      if (round >= 0 && performance.now() > endAt) break
    }
    send({ times })
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error
    send({ detail: error.detail })
  }
}

/** When nobody is left to hear it, `disconnect` ends this process; that needs no error beside it. */
function send(message: FromMeter): void {
  process.send?.(message, () => {})
}

interface Stretch {
  readonly images: Uint8Array | undefined
  readonly batch: number
  readonly runs: number
  readonly endAt: number
}

async function time(
  session: Session | undefined,
  { images, batch, runs, endAt }: Stretch
): Promise<number[]> {
  if (!session || !images) throw new RangeError('Cannot time: no such model')
  for (let i = 0; i < settling; i++) await session.run(images, batch)
  const times: number[] = []
  for (let i = 0; i < runs; i++) {
    const start = performance.now()
    await session.run(images, batch)
    const end = performance.now()
    times.push(end - start)
    if (end > endAt) break
  }
  return times
}

/** Every second round goes backwards, so that none always runs after the same other one. */
function turns(count: number, round: number): number[] {
  const order = Array.from({ length: count }, (_, i) => i)
  return round % 2 === 0 ? order : order.reverse()
}

const pixels = ({ inputShape: [h, w, c] }: Session): number => h * w * c

/** Any pixels will do, but not all equal: a linear congruential sequence (Numerical Recipes). */
function noise(length: number): Uint8Array {
  let state = 1
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state >>> 24
  })
}
