/**
 * Whether a trainer ended for want of memory, and what says so.
 *
 * Who runs out of memory is told in one of two ways. An allocator says so on the way out: V8, the C++
 * library, TensorFlow, Node's file layer. Or the kernel kills without a word and only counts it: for the
 * control group (cgroup v2, memory.events; v1, memory.oom_control) and for the machine (proc(5), vmstat).
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Kills for want of memory so far, by the file that counts them. */
export type MemoryKills = ReadonlyMap<string, number>

interface Places {
  /** @default '/proc' */
  readonly proc?: string
  /** @default '/sys/fs/cgroup' */
  readonly cgroups?: string
}

/** Reads the counters that hold for this process and its children; none where the system has none. */
export function readMemoryKills({
  proc = '/proc',
  cgroups = '/sys/fs/cgroup'
}: Places = {}): MemoryKills {
  const files = [...groupFiles(read(join(proc, 'self/cgroup')), cgroups), join(proc, 'vmstat')]
  const kills = new Map<string, number>()
  for (const file of files) {
    const [, count] = /^oom_kill (\d+)$/m.exec(read(file)) ?? []
    if (count !== undefined) kills.set(file, Number(count))
  }
  return kills
}

/** A line of /proc/self/cgroup is `id:controllers:path`; cgroup v2 has the id 0 and no controllers. */
function groupFiles(groups: string, cgroups: string): string[] {
  return groups.split('\n').flatMap((line) => {
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? []
    if (path === undefined) return []
    // Within a namespace of its own a process may be shown a path from outside: then the root holds.
    if (controllers === '') return inGroup(cgroups, path, 'memory.events')
    if (!controllers?.split(',').includes('memory')) return []
    return inGroup(join(cgroups, 'memory'), path, 'memory.oom_control')
  })
}

function inGroup(root: string, path: string, file: string): string[] {
  const [own, outermost] = [join(root, path, file), join(root, file)]
  return [read(own) === '' ? outermost : own]
}

const read = (file: string): string => {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

/** What allocators say when there is nothing left. */
const lastWords = [
  /JavaScript heap out of memory/,
  /std::bad_alloc/,
  /RESOURCE_EXHAUSTED[^\n]*|ResourceExhausted[^\n]*|OOM when allocating[^\n]*/,
  /Array buffer allocation failed/,
  /could not allocate memory|Cannot allocate memory/i,
  /\bENOMEM\b/
]

export interface Death {
  readonly signal: NodeJS.Signals | null
  /** The end of what it printed. */
  readonly output: string
  readonly killsBefore: MemoryKills
  readonly killsAfter: MemoryKills
}

/** The evidence in a few words, or undefined when there is none. */
export function memoryEvidence({
  signal,
  output,
  killsBefore,
  killsAfter
}: Death): string | undefined {
  for (const words of lastWords) {
    const [said] = words.exec(output) ?? []
    if (said !== undefined) return `it said "${said.slice(0, 300)}"`
  }
  if (signal !== 'SIGKILL') return undefined
  for (const [file, after] of killsAfter) {
    const rise = after - (killsBefore.get(file) ?? after)
    if (rise > 0) {
      return `the kernel killed ${rise} ${rise === 1 ? 'process' : 'processes'} for want of memory meanwhile (oom_kill in ${file})`
    }
  }
  return undefined
}
