/** The processes that a process has started, and those that they have: from proc(5). */
import { readFileSync } from 'node:fs'

export interface Process {
  readonly pid: number
  /** Its command line, arguments separated by spaces. */
  readonly command: string
}

/** A process and its descendants, deepest last; those that are gone are left out. */
export function processesOf(pid: number): Process[] {
  const command = read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim()
  if (command === '') return []
  return [{ pid, command }, ...childrenOf(pid).flatMap(processesOf)]
}

/** Those that a process has started itself; none where the system does not tell (only Linux does). */
export function childrenOf(pid: number): number[] {
  return read(`/proc/${pid}/task/${pid}/children`).split(' ').filter(Boolean).map(Number)
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

/** Whether a process runs: one that has ended and is not yet waited for is a zombie, proc(5). */
export function isRunning(pid: number): boolean {
  const status = read(`/proc/${pid}/status`)
  return status !== '' && !/^State:\s+Z/m.test(status)
}
