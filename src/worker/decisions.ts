/**
 * Early ends of training stages: taken by order or by clock, hence recorded, so that they can be repeated.
 *
 * A decision is with the catalogue before anything follows from it. An attempt that resumes ends the stage
 * after the same number of steps, whatever its own clock says, and also from a checkpoint of before; a
 * stage that has one takes no second one. Nothing else may look at `stopWanted`.
 */
import type { Decision, Stage } from '../contract/job.ts'
import type { Control } from './orders.ts'
import type { TrainerChannel } from './trainer-channel.ts'

export class Decisions {
  readonly #channel: Pick<TrainerChannel, 'ending' | 'stopWanted' | 'decide'>
  readonly #taken: Map<Stage, Decision>

  constructor(
    taken: readonly Decision[],
    channel: Pick<TrainerChannel, 'ending' | 'stopWanted' | 'decide'>
  ) {
    this.#taken = new Map(taken.map((decision) => [decision.stage, decision]))
    this.#channel = channel
  }

  /** Why a stage ends early, once that has been decided. */
  reason(stage: Stage): Decision['reason'] | null {
    return this.#taken.get(stage)?.reason ?? null
  }

  /**
   * What a stage does after `updates` training steps; 0 asks whether it shall begin at all. A stop that
   * is wanted here for the first time is decided here; that takes a call to the api.
   */
  async control(stage: Stage, updates: number): Promise<Control> {
    const channel = this.#channel
    if (channel.ending !== null) return channel.ending
    const taken = this.#taken.get(stage)
    if (taken !== undefined) return updates < taken.updates ? 'continue' : 'stop'
    const reason = channel.stopWanted
    if (reason === null) return 'continue'
    const decision: Decision = { stage, reason, updates }
    if (!(await channel.decide(decision))) return channel.ending ?? 'continue'
    this.#taken.set(stage, decision)
    return 'stop'
  }
}
