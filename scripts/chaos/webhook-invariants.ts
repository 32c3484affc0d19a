/** The end of every job was told: signed, as it is, under one id however often it was tried. */
import type { Run } from './actions.ts'
import type { Invariant } from './invariant.ts'
import type { AcceptedJob } from './ledger.ts'

export const webhookInvariants: readonly Invariant[] = [
  { name: 'the end of every job was told by webhook', check: checkTold }
]

async function checkTold({ ledger, receiver }: Run): Promise<void> {
  for (const job of ledger.jobs) {
    if (job.follower === null) continue
    const told = receiver.told.filter((one) => one.job === job.id)
    const find = (verdict: 'lost' | 'doubled' | 'wrong', what: string): void =>
      ledger.find(verdict, `webhook of ${job.model}: ${what}`, told)
    if (told.length === 0) find('lost', 'nothing was told')
    if (new Set(told.map(({ id }) => id)).size > 1) find('doubled', 'two messages')
    if (told.some(({ state }) => state !== job.seen.state)) find('wrong', 'another end was told')
    if (told.some(({ isSigned }) => !isSigned)) find('wrong', 'the signature is not right')
  }
}

/** Whether somebody who waits for the last webhook need not wait any longer. */
export const isToldOf = ({ receiver }: Run, { id, follower }: AcceptedJob): boolean =>
  follower === null || (follower.hasEnded && receiver.told.some(({ job }) => job === id))
