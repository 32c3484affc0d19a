/**
 * What a trainer can be told to do, and how a step gives up its work when it is told to end.
 */

/** stop: end the stage early and go on. cancel: end at once. checkpoint: write one and end. */
export type Control = 'continue' | 'stop' | 'cancel' | 'checkpoint'

/** An order that leaves no time to finish anything. */
export type EndingOrder = Extract<Control, 'cancel' | 'checkpoint'>

/** Ends the pipeline without a result: the job was cancelled, or goes on elsewhere from a checkpoint. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted'
  readonly reason: 'cancelled' | 'checkpointed'

  constructor(order: EndingOrder) {
    const reason = order === 'cancel' ? 'cancelled' : 'checkpointed'
    super(`The job was ${reason}`)
    this.reason = reason
  }
}

/** Between pieces of work that cannot be interrupted themselves. @throws Interrupted when told to end. */
export async function yieldToOrders({
  channel
}: {
  readonly channel: { readonly ending: EndingOrder | null }
}): Promise<void> {
  await new Promise(setImmediate)
  if (channel.ending !== null) throw new Interrupted(channel.ending)
}
