/** Whoever followed a job was told all of it in order, however often the stream broke off. */
import type { Run } from './actions.ts'
import { readEvents, type SeenEvent } from './follower.ts'
import type { Invariant } from './invariant.ts'
import type { AcceptedJob } from './ledger.ts'
import { metricsOf, signatureOf } from './reference.ts'

export const eventInvariants: readonly Invariant[] = [
  { name: 'followers were told everything, in order and once', check: checkFollowers },
  { name: 'the history names every epoch once', check: checkHistories }
]

const readWithinMs = 60_000

async function checkFollowers(run: Run): Promise<void> {
  for (const job of run.ledger.jobs) {
    if (job.follower === null) continue
    const { events, hasEnded } = job.follower
    const find = (what: string, evidence: unknown): void =>
      run.ledger.find('wrong', `events of ${job.model}: ${what}`, evidence)
    if (!hasEnded) find('the end was not told', events.slice(-5))
    if (!areIncreasing(events)) find('ids do not increase', idsOf(events))
    const told = new Set(idsOf(events))
    const untold = (await historyOf(run, job)).filter(({ id }) => id !== null && !told.has(id))
    if (untold.length > 0) find(`${untold.length} were not told`, untold)
  }
}

async function checkHistories(run: Run): Promise<void> {
  for (const job of run.ledger.jobs) {
    const events = await historyOf(run, job)
    const told = events
      .filter(({ type }) => type === 'metric')
      .map(({ data }) => signatureOf(JSON.parse(data)))
    const metrics = await metricsOf(run.client, job.id)
    if (told.toSorted().join('\n') === metrics.toSorted().join('\n')) continue
    run.ledger.find('wrong', `the events of ${job.model} tell of other epochs`, [told, metrics])
  }
}

const historyOf = ({ client }: Run, { id }: AcceptedJob): Promise<SeenEvent[]> =>
  Array.fromAsync(
    readEvents(`${client.url}/v1/jobs/${id}/events`, 0, AbortSignal.timeout(readWithinMs))
  )

const idsOf = (events: readonly SeenEvent[]): number[] => events.flatMap(({ id }) => id ?? [])

const areIncreasing = (events: readonly SeenEvent[]): boolean => {
  const ids = idsOf(events)
  return ids.every((id, i) => i === 0 || id > (ids[i - 1] ?? 0))
}
