/**
 * Finds the processes of one run, orphans among them, from proc(5).
 *
 * Every process of a run is started in the run's folder and stays in or below it, whatever happens to
 * its parents or its environment; so the folder it works in tells whose it is.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'

export const roles = ['up', 'api', 'worker', 'trainer', 'redis', 'engine', 'importer'] as const
export type Role = (typeof roles)[number]

export interface Found {
  readonly pid: number
  /** Its command line, arguments separated by spaces. */
  readonly command: string
}

const marks: Readonly<Record<Role, RegExp>> = {
  up: /src\/main\/up\.ts/,
  api: /src\/main\/api\.ts/,
  worker: /src\/main\/worker\.ts/,
  trainer: /src\/worker\/trainer\.ts/,
  redis: /^\S*(redis|valkey)-server /,
  engine: /src\/infer\/engine-process\.ts/,
  importer: /src\/dataset\/importer\.ts/
}

/** All processes that work in `folder` or below it. */
export function processesIn(folder: string): Found[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && isBelow(folder, name))
    .map((name) => ({ pid: Number(name), command: commandOf(name) }))
    .filter(({ command }) => command !== '')
}

export function processesOf(folder: string, role: Role): Found[] {
  return processesIn(folder).filter(({ command }) => marks[role].test(command))
}

/** Sends a signal to a process that may have ended meanwhile. Whether it was still there. */
export function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name)
  } catch {
    return false
  }
}

function isBelow(folder: string, pid: string): boolean {
  try {
    const at = readlinkSync(join('/proc', pid, 'cwd'))
    return at === folder || at.startsWith(`${folder}/`)
  } catch {
    return false
  }
}

function commandOf(pid: string): string {
  try {
    return readFileSync(join('/proc', pid, 'cmdline'), 'utf8')
      .replaceAll('\0', ' ')
      .trim()
  } catch {
    return ''
  }
}
