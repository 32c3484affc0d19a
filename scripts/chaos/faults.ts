/** The faults of a run, and the order in which a seed draws them. */
import { permutation, Random, randomKey } from '../../src/tensor/random.ts'
import { breakOffUpload, giveUp, postAcrossKill, postTwice } from './client-faults.ts'
import type { ChaosOptions } from './options.ts'
import {
  type Act,
  emptyRedis,
  end,
  fillDisk,
  freeze,
  kill,
  killEverything
} from './process-faults.ts'

export interface Fault {
  readonly name: string
  /** How often it comes while every fault comes `weight` times. */
  readonly weight: number
  readonly act: Act
}

const faults: readonly Fault[] = [
  { name: 'trainer killed', weight: 3, act: kill('trainer') },
  { name: 'worker killed', weight: 2, act: kill('worker') },
  { name: 'api killed', weight: 2, act: kill('api') },
  { name: 'redis killed', weight: 2, act: kill('redis') },
  { name: 'npm start killed', weight: 1, act: kill('up') },
  { name: 'everything killed', weight: 1, act: killEverything },
  { name: 'inference process killed', weight: 1, act: kill('engine') },
  { name: 'importer killed', weight: 1, act: kill('importer') },
  { name: 'worker asked to end', weight: 2, act: end('worker') },
  { name: 'api asked to end', weight: 1, act: end('api') },
  { name: 'redis asked to end', weight: 1, act: end('redis') },
  { name: 'npm start asked to end', weight: 1, act: end('up') },
  { name: 'worker frozen', weight: 2, act: freeze('worker', [3, 50]) },
  { name: 'trainer frozen', weight: 1, act: freeze('trainer', [3, 20]) },
  { name: 'api frozen', weight: 2, act: freeze('api', [2, 20]) },
  { name: 'redis frozen', weight: 1, act: freeze('redis', [2, 30]) },
  { name: 'redis emptied', weight: 2, act: emptyRedis },
  { name: 'disk full', weight: 1, act: fillDisk },
  { name: 'upload broken off', weight: 2, act: breakOffUpload },
  { name: 'job posted twice', weight: 2, act: postTwice },
  { name: 'job posted across an api kill', weight: 2, act: postAcrossKill },
  { name: 'job cancelled', weight: 1, act: giveUp('cancel') },
  { name: 'job stopped', weight: 1, act: giveUp('stop') }
]

export interface PlannedFault {
  readonly atSeconds: number
  readonly fault: Fault
  /** Victims, durations, delays. */
  readonly draws: Random
}

/**
 * Draws the faults of a run: as from a bag that holds each `weight` times and is filled again when it
 * is empty, so that none is left out for long.
 */
export function drawPlan({ seed, seconds, gapSeconds }: ChaosOptions): PlannedFault[] {
  const times = new Random(randomKey(seed, 'times'))
  const plan: PlannedFault[] = []
  let bag: Fault[] = []
  for (let at = nextGap(times, gapSeconds); at < seconds; at += nextGap(times, gapSeconds)) {
    if (bag.length === 0) bag = fillBag(seed, plan.length)
    const fault = bag.pop()
    const draws = new Random(randomKey(seed, 'draws', plan.length))
    if (fault !== undefined) plan.push({ atSeconds: at, fault, draws })
  }
  return plan
}

/** Between a fifth of the average and nearly twice of it: some faults fall into others. */
const nextGap = (times: Random, average: number): number => times.between(0.2, 1.8) * average

function fillBag(seed: number, drawn: number): Fault[] {
  const all = faults.flatMap((fault) => Array.from({ length: fault.weight }, () => fault))
  const order = permutation(randomKey(seed, 'bag', drawn), all.length)
  return [...order].flatMap((i) => all[i] ?? [])
}
