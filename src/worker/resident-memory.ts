/** How much memory a process holds and has held at most, from proc(5); nothing where that is not mounted. */
import { readFile } from 'node:fs/promises'

export interface ResidentMemory {
  /** Bytes: VmRSS. */
  readonly now: number
  /** Bytes: VmHWM, the most since it started. */
  readonly peak: number
}

/** Undefined when the process is gone, or the system does not tell. */
export async function residentMemory(pid: number): Promise<ResidentMemory | undefined> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  const [now, peak] = [bytesOf(status, 'VmRSS'), bytesOf(status, 'VmHWM')]
  return now === undefined || peak === undefined ? undefined : { now, peak }
}

function bytesOf(status: string, name: string): number | undefined {
  const [, kib] = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status) ?? []
  return kib === undefined ? undefined : Number(kib) * 1024
}
