/**
 * The log of a role: JSON lines on standard output, which may be a file on a disk that fills up.
 *
 * A line that cannot be written is lost, and the service goes on. pino's own stream does not let go of
 * one: it throws where nobody catches, and at the exit tries again for ever.
 */
import { writeSync } from 'node:fs'
import { type Logger, pino } from 'pino'

interface LogOptions {
  readonly role: 'up' | 'api' | 'worker'
  readonly level: string
}

export function openLog({ role, level }: LogOptions): Logger {
  // What is printed beside the log (a banner, a reason) goes the same way.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
  return pino({ level, base: { role }, redact }, { write: writeLine })
}

/** We log no headers. At `trace`, a package that reads uploads logs all of a request's. */
const redact = {
  paths: ['', '*.', '*.*.'].flatMap((at) => [`${at}authorization`, `${at}cookie`]),
  censor: '(left out)'
}

const standardOutput = 1
/** A reader that is slow for longer than a second loses lines; it must not hold up the service. */
const [pauseMs, mostPauses] = [5, 200]

function writeLine(line: string): void {
  let rest = Buffer.from(line)
  for (let pauses = 0; rest.length > 0 && pauses < mostPauses; ) {
    try {
      rest = rest.subarray(writeSync(standardOutput, rest))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return
      // A pipe that is full for the moment.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pauseMs)
      pauses += 1
    }
  }
}
