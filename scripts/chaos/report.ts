/** What a run prints: its plan as it happens, a table at the end, and the evidence for every finding. */
import type { Run } from './actions.ts'
import { type Ledger, verdicts } from './ledger.ts'

/** `[ 83.2 s] what` */
export const line = (atMs: number, what: string): string =>
  `[${(atMs / 1000).toFixed(1).padStart(6)} s] ${what}`

const mostEvidence = 6000
const mostFindings = 20

/** The table of a run. */
export function table({ ledger, options, receiver, instance }: Run): string {
  const ended = (state: string): number =>
    ledger.jobs.filter(({ seen }) => seen.state === state).length
  const injected = [...ledger.faults].sort(([, a], [, b]) => b - a)
  const sum = injected.reduce((total, [, count]) => total + count, 0)
  const unanswered = ledger.answers.get('none') ?? 0
  const requests = [...ledger.answers.values()].reduce((total, count) => total + count, 0)
  const rows: readonly (readonly [string, string | number])[] = [
    ['seed', options.seed],
    ['seconds of faults', options.seconds],
    ['workers', options.workers],
    ['faults injected', sum],
    ...injected.map(([name, count]) => [`  ${name}`, count] as const),
    ['npm start ended by itself', instance.ownEnds.length],
    ['requests', requests],
    ['  not answered while the api was down', unanswered],
    ['datasets accepted', ledger.datasets.length],
    ['predictions compared', ledger.predictions],
    ['alias moves', ledger.aliasMoves],
    ['events followed', ledger.jobs.reduce((n, job) => n + (job.follower?.events.length ?? 0), 0)],
    ['webhooks received', receiver.told.length],
    ['jobs accepted', ledger.jobs.length],
    ...['completed', 'cancelled', 'failed', 'running', 'queued'].map(
      (state) => [`  ${state}`, ended(state)] as const
    ),
    ['attempts', ledger.jobs.reduce((total, { seen }) => total + seen.attempt, 0)],
    ...verdicts.map((verdict) => [verdict.toUpperCase(), count(ledger, verdict)] as const)
  ]
  return rows.map(([name, value]) => `  ${name.padEnd(42)}${String(value).padStart(8)}`).join('\n')
}

/** The first findings with what was seen; one cause often has a hundred of them. */
export function evidence({ findings }: Ledger): string {
  const shown = findings
    .slice(0, mostFindings)
    .map(({ verdict, what, evidence, atMs }) =>
      [line(atMs, `${verdict.toUpperCase()}: ${what}`), evidence.slice(0, mostEvidence)].join('\n')
    )
  const more = findings.length - shown.length
  if (more > 0) shown.push(`and ${more} more, up to ${line(findings.at(-1)?.atMs ?? 0, '').trim()}`)
  return shown.join('\n\n')
}

const count = ({ findings }: Ledger, verdict: string): number =>
  findings.filter((finding) => finding.verdict === verdict).length
