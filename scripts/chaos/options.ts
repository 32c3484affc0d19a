/** What `npm run chaos` may be told, and what it does when it is told nothing. */
import { parseArgs } from 'node:util'

export interface ChaosOptions {
  /** How long faults are injected. What was accepted is then waited for, however long that takes. */
  readonly seconds: number
  /** Draws the faults, their order and their victims. */
  readonly seed: number
  /** Workers, the one of `npm start` among them. */
  readonly workers: number
  /** Jobs that are posted at most. */
  readonly jobs: number
  /** Seconds from one fault to the next, on average. */
  readonly gapSeconds: number
  /** Lets faults last only some seconds, for a run that is short itself. */
  readonly brief: boolean
}

export const defaults: ChaosOptions = {
  seconds: 120,
  seed: 1,
  workers: 2,
  jobs: Number.POSITIVE_INFINITY,
  gapSeconds: 6,
  brief: false
}

export const usage = `npm run chaos -- [--seconds 600] [--seed 7] [--workers 2] [--jobs 20] [--gap 6] [--brief]

  --seconds   how long faults are injected (${defaults.seconds})
  --seed      draws the faults; a run prints it, the same one draws the same faults (by the clock)
  --workers   worker processes, the one of npm start among them (${defaults.workers})
  --jobs      jobs that are posted at most (as many as there is time for)
  --gap       seconds from one fault to the next, on average (${defaults.gapSeconds})
  --brief     has faults last only some seconds, as in npm test: --seed 7 --seconds 40 --jobs 6 --gap 3
`

/** @throws TypeError naming the option and what was received */
export function readOptions(args: readonly string[], drawnSeed: number): ChaosOptions {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    args: [...args],
    options: {
      seconds: text,
      seed: text,
      workers: text,
      jobs: text,
      gap: text,
      brief: { type: 'boolean' }
    }
  })
  return {
    ...defaults,
    seconds: whole('seconds', values.seconds, defaults.seconds),
    seed: whole('seed', values.seed, drawnSeed, 0),
    workers: whole('workers', values.workers, defaults.workers),
    jobs: whole('jobs', values.jobs, defaults.jobs),
    gapSeconds: whole('gap', values.gap, defaults.gapSeconds),
    brief: values.brief ?? defaults.brief
  }
}

function whole(name: string, given: string | undefined, byDefault: number, least = 1): number {
  if (given === undefined) return byDefault
  const value = Number(given)
  if (/^\d{1,9}$/.test(given) && value >= least) return value
  throw new TypeError(
    `Cannot start: --${name} must be an integer of at least ${least}, received "${given}"`
  )
}
