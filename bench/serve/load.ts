/** Compiles and runs the load generator. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { quantile } from '../../src/infer/summarize-times.ts'

const run = promisify(execFile)

export interface Load {
  readonly port: number
  /** File of whole requests. */
  readonly requests: string
  readonly seconds: number
  /** Clients that each wait for their answer; or requests a second at random times. */
  readonly shape: { readonly clients: number } | { readonly rate: number }
}

export interface Figures {
  readonly perSecond: number
  /** Milliseconds of the answers 200. */
  readonly p50: number
  readonly p99: number
  readonly timesMs: readonly number[]
  /** Refusals, broken connections and requests without an answer. */
  readonly lost: number
  /** Answers by status. */
  readonly statuses: Readonly<Record<string, number>>
  /** Milliseconds that the slowest answer of each status took. */
  readonly longestMs: Readonly<Record<string, number>>
  /** The same of the first answers of their connections, which waited to be accepted, and of all others. */
  readonly longestFirstMs: number
  readonly longestLaterMs: number
  /** Connections that ended with a request under way. */
  readonly broken: number
  /** Requests without an answer a minute after the last one was sent. */
  readonly unanswered: number
}

interface Printed {
  readonly seconds: number
  readonly inTime: number
  readonly unanswered: number
  readonly broken: number
  readonly missed: number
  readonly statuses: Readonly<Record<string, number>>
  readonly longestUs: Readonly<Record<string, number>>
  readonly longestFirstUs: number
  readonly longestLaterUs: number
  readonly timesUs: readonly number[]
}

/** @returns the compiled program's file, in `folder` */
export async function compileLoad(folder: string): Promise<string> {
  const out = join(folder, 'load')
  const source = fileURLToPath(new URL('./load.c', import.meta.url))
  await run('cc', ['-O2', '-o', out, source, '-lm'])
  return out
}

export async function load(
  program: string,
  { port, requests, seconds, shape }: Load
): Promise<Figures> {
  const [kind, amount] = 'clients' in shape ? ['closed', shape.clients] : ['poisson', shape.rate]
  const args = [port, requests, seconds, kind, amount].map(String)
  const { stdout } = await run(program, args, { maxBuffer: 1 << 28 })
  const printed = JSON.parse(stdout) as Printed
  const timesMs = printed.timesUs.map((us) => us / 1000)
  const { statuses, broken, unanswered } = printed
  const { 200: _, ...others } = statuses
  const longest = Object.entries(printed.longestUs).map(([status, us]) => [status, us / 1000])
  const refused = Object.values(others).reduce((a, b) => a + b, 0)
  return {
    perSecond: printed.inTime / printed.seconds,
    p50: timesMs.length === 0 ? Number.NaN : quantile(timesMs, 0.5),
    p99: timesMs.length === 0 ? Number.NaN : quantile(timesMs, 0.99),
    timesMs,
    lost: refused + unanswered + broken + printed.missed,
    statuses,
    longestMs: Object.fromEntries(longest),
    longestFirstMs: printed.longestFirstUs / 1000,
    longestLaterMs: printed.longestLaterUs / 1000,
    broken,
    unanswered
  }
}
