/** What the service has accepted during a run, what became of it, and what was found to be wrong. */
import type { Job } from '../../src/contract/job.ts'
import type { Follower } from './follower.ts'

/** lost: accepted and gone. doubled: done twice. wrong: everything else that must not be. */
export const verdicts = ['lost', 'doubled', 'wrong'] as const
export type Verdict = (typeof verdicts)[number]

export interface Finding {
  readonly verdict: Verdict
  readonly what: string
  readonly evidence: string
  readonly atMs: number
}

/** A job that was answered 202. */
export interface AcceptedJob {
  readonly id: string
  /** No two posts name the same model, so that a job can be told by it. */
  readonly model: string
  /** Of the job: what it must come out like. */
  readonly kind: string
  asked: 'cancel' | 'stop' | null
  /** Newest document seen. */
  seen: Job
  /** Times that a trainer was killed while it ran. */
  hits: number
  /** Null for the undisturbed ones, which nobody follows. */
  readonly follower: Follower | null
}

export interface AcceptedDataset {
  readonly id: string
  readonly name: string
  readonly images: number
}

export interface AliasState {
  readonly version: number
  readonly variant: string
}

export class Ledger {
  readonly jobs: AcceptedJob[] = []
  readonly datasets: AcceptedDataset[] = []
  readonly aliases = new Map<string, AliasState>()
  readonly findings: Finding[] = []
  readonly faults = new Map<string, number>()
  readonly answers = new Map<string, number>()
  predictions = 0
  aliasMoves = 0
  readonly #start = performance.now()

  get atMs(): number {
    return performance.now() - this.#start
  }

  find(verdict: Verdict, what: string, evidence: unknown = ''): void {
    const text = typeof evidence === 'string' ? evidence : JSON.stringify(evidence)
    this.findings.push({ verdict, what, evidence: text, atMs: this.atMs })
  }

  countFault(name: string): void {
    this.faults.set(name, (this.faults.get(name) ?? 0) + 1)
  }

  countAnswer(kind: string): void {
    this.answers.set(kind, (this.answers.get(kind) ?? 0) + 1)
  }

  get openJobs(): AcceptedJob[] {
    return this.jobs.filter(({ seen }) => !hasEnded(seen))
  }
}

export const hasEnded = ({ state }: Job): boolean => state !== 'queued' && state !== 'running'
