/** First come, first served: the least waiting that so many servers can give, by simulation. */
import { Random, randomKey } from '../../src/tensor/random.ts'

export interface QueueOptions {
  /** Milliseconds, drawn from at random. */
  readonly serviceMs: readonly number[]
  readonly servers: number
  /** Arrivals a second, at random times (Poisson). */
  readonly rate: number
  readonly arrivals: number
}

/** Milliseconds from arrival to departure of each. */
export function simulateQueue({ serviceMs, servers, rate, arrivals }: QueueOptions): number[] {
  const random = new Random(randomKey(1, 'simulated-queue'))
  const freeAt = new Array<number>(servers).fill(0)
  let now = 0
  return Array.from({ length: arrivals }, () => {
    now += (-Math.log(1 - random.uniform()) / rate) * 1000
    const first = freeAt.indexOf(Math.min(...freeAt))
    const service = serviceMs[Math.floor(random.between(0, serviceMs.length))] ?? 0
    const done = Math.max(now, freeAt[first] ?? 0) + service
    freeAt[first] = done
    return done - now
  })
}
