/**
 * What an attempt came to, in the words of the contract: what the trainer said, how it ended, what was ordered.
 *
 * Nothing is decided here about the job: the catalogue counts, and makes of it what it wants.
 */
import type { CrashCause, Outcome } from '../contract/internal.ts'
import type { FromTrainer } from '../contract/trainer.ts'
import { asDiskError, ServiceError } from '../errors.ts'
import { inMiB } from './allowance.ts'
import { ApiRefusal, isStale } from './api-call.ts'
import { type MemoryKills, memoryEvidence } from './memory-evidence.ts'
import { PutOff } from './put-off.ts'
import type { TrainerEnd } from './trainer-process.ts'

const longestDetail = 20_000
const longestPostponement = 2000
const lastLines = 40

/** The last word of a trainer. */
export type Farewell = Extract<FromTrainer, { type: 'done' | 'evaluated' | 'failed' | 'ended' }>

/** Why a trainer was told to end. */
export type Ordered = 'cancelled' | 'released'

export interface Ending {
  readonly end: TrainerEnd
  /** Undefined when it ended without a word. */
  readonly farewell: Farewell | undefined
  readonly ordered: Ordered | undefined
  readonly progressed: boolean
  /** The end of what it printed. */
  readonly output: string
  readonly killsBefore: MemoryKills
  readonly killsAfter: MemoryKills
  /** Bytes of memory, at most; undefined when nobody looked. */
  readonly peak: number | undefined
}

/** The outcome of a trainer that has ended. */
export function outcomeOf(ending: Ending): Outcome {
  const { end, farewell, ordered } = ending
  // What it said last holds, unless it then died of something else than a clean exit.
  if (farewell?.type === 'done') {
    const { report, stopReason } = farewell
    return { kind: 'completed', report, stopReason }
  }
  if (farewell?.type === 'evaluated') {
    const { report, stopReason } = farewell
    return { kind: 'evaluated', report, stopReason }
  }
  if (farewell !== undefined && end.exitCode === 0) return said(farewell)
  if (ordered !== undefined) return { kind: ordered }
  const full = /\b(?:ENOSPC|EDQUOT)\b|No space left on device|Disk quota exceeded/i.exec(
    ending.output
  )
  if (full !== null) return postponed(`no room is left on the worker's disk (${full[0]})`)
  return crashOf(ending)
}

/** The outcome of an attempt around whose trainer something failed, such as a transfer. */
export function troubleOf(error: unknown, progressed: boolean): Outcome {
  if (error instanceof PutOff || isDiskFull(error)) return postponed(textOf(error))
  // What the api has of the model stays as it is.
  if (error instanceof ServiceError && error.code === 'MODEL_INVALID') {
    return { kind: 'failed', code: error.code, detail: error.detail }
  }
  return crashed({
    cause: 'supervisor',
    end: { exitCode: null, signal: null },
    progressed,
    detail: `The attempt could not go on: ${textOf(error)}`
  })
}

/**
 * What to report in place of an outcome that the api has refused for good, as it would refuse it from every
 * later attempt. Undefined when `error` is no such refusal.
 */
export function insteadOf({ kind }: Outcome, error: unknown): Outcome | undefined {
  if (!(error instanceof ApiRefusal) || error.status >= 500 || isStale(error)) return undefined
  const detail = `Cannot end the attempt as ${kind}: the api refuses it: ${error.message}`
  return { kind: 'failed', code: error.code, detail: detail.slice(0, longestDetail) }
}

function said(farewell: Exclude<Farewell, { type: 'done' | 'evaluated' }>): Outcome {
  if (farewell.type === 'ended') {
    return { kind: farewell.reason === 'cancelled' ? 'cancelled' : 'released' }
  }
  const { code, detail } = farewell
  if (code === 'DISK_FULL') return postponed(detail)
  return { kind: 'failed', code, detail }
}

function crashOf(ending: Ending): Outcome {
  const { end, progressed, peak } = ending
  const evidence = memoryEvidence({ ...ending, signal: end.signal })
  const how = end.signal === null ? `exit code ${end.exitCode}` : `signal ${end.signal}`
  const facts = [
    `The trainer ended unasked with ${how}`,
    ...(evidence === undefined ? [] : [`for want of memory: ${evidence}`]),
    ...(peak === undefined
      ? []
      : [`its memory had reached ${inMiB(peak)} when it was last looked at`])
  ]
  const lines = ending.output.trim().split('\n').slice(-lastLines).join('\n')
  const detail = facts.join('; ') + (lines === '' ? '' : `. Its last output: ${lines}`)
  const byItself = end.signal === null ? 'exit' : 'signal'
  return crashed({ cause: evidence === undefined ? byItself : 'memory', end, progressed, detail })
}

interface Crash {
  readonly cause: CrashCause
  readonly end: TrainerEnd
  readonly progressed: boolean
  readonly detail: string
}

const crashed = ({ cause, end, progressed, detail }: Crash): Outcome => ({
  kind: 'crashed',
  cause,
  ...end,
  progressed,
  detail: detail.slice(0, longestDetail)
})

const postponed = (detail: string): Outcome => ({
  kind: 'postponed',
  detail: detail.slice(0, longestPostponement)
})

/** Here, or where the file was sent to. */
function isDiskFull(error: unknown): boolean {
  if (error instanceof ApiRefusal) return error.code === 'DISK_FULL'
  const known = asDiskError(error, 'go on')
  return known instanceof ServiceError && known.code === 'DISK_FULL'
}

/** fetch() says "fetch failed" and keeps the reason to itself, in `cause`. */
function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message
}
