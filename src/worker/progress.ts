/**
 * How far a job is, as one number that only grows.
 *
 * Shares of the whole are estimates: epochs weigh by the multiply-accumulates they cost, the fixed
 * stages by what they took on small jobs. Nothing is decided by them.
 */

import type { Stage } from '../contract/job.ts'
import type { ResolvedRecipe } from '../contract/recipe.ts'
import { macs } from '../network/cost.ts'
import type { Network } from '../network/graph.ts'
import type { TrainerChannel } from './trainer-channel.ts'

/** Where each stage starts and ends on the way from 0 to 1. */
export type Shares = Readonly<Record<Stage, readonly [start: number, end: number]>>

const prepared = 0.04
const trained = 0.88

export class Progress {
  readonly #channel: Pick<TrainerChannel, 'send'>
  #shares: Shares
  #furthest = 0

  /** @param shares those of a job that trains, until it is planned, unless given */
  constructor(channel: Pick<TrainerChannel, 'send'>, given: Shares = shares(trained)) {
    this.#channel = channel
    this.#shares = given
  }

  /**
   * Divides training time between the first training and the fine-tuning of a pruned network, whose
   * teacher adds a forward pass (a third of a step) of the unpruned one.
   */
  plan({ train, prune }: ResolvedRecipe, network: Network): void {
    const whole = macs(network)
    const first = train.epochs * whole
    const second = prune === null ? 0 : prune.epochs * whole * (prune.macs + 1 / 3)
    this.#shares = shares(prepared + ((trained - prepared) * first) / (first + second))
  }

  /** Tells that `fraction` (0..1) of `stage` is done. */
  at(stage: Stage, fraction: number): void {
    const [start, end] = this.#shares[stage]
    this.#furthest = Math.max(this.#furthest, start + (end - start) * fraction)
    void this.#channel.send({ type: 'stage', stage, progress: this.#furthest })
  }
}

/** Of a job that evaluates: decoding the images once costs about as much as asking a file or two. */
export const evaluationShares: Shares = {
  ...shares(0),
  prepare: [0, 0.4],
  evaluate: [0.4, 1]
}

function shares(firstTrained: number): Shares {
  return {
    prepare: [0, prepared],
    train: [prepared, firstTrained],
    prune: [firstTrained, trained],
    quantize: [trained, 0.91],
    evaluate: [0.91, 0.99],
    publish: [0.99, 1]
  }
}
