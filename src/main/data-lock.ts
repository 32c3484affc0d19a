/**
 * One whittle per data folder: a lock that the kernel holds and drops with the process, however it ends.
 *
 * Node has no flock; SQLite's exclusive transaction is one (fcntl on Unix). Beside it lies a note for
 * people, which says who holds the lock and is otherwise never trusted.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { asDiskError } from '../errors.ts'

/** Thrown when another process holds the folder; the message names it. */
export class DataDirTakenError extends Error {
  override readonly name = 'DataDirTakenError'
}

/**
 * Takes a data folder for this process, creating it when it is missing.
 *
 * @param who what holds it, for the message of the next one: a role, an address
 * @param waitMs how long to stand still while another holds it, for one that is known to be ending
 * @returns a function that gives the folder back
 * @throws DataDirTakenError naming the process that holds it
 */
export function lockDataDir(dataDir: string, who: string, waitMs = 0): () => void {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const note = join(dataDir, 'lock.json')
  const database = new DatabaseSync(join(dataDir, 'lock.db'), { timeout: waitMs })
  try {
    database.exec('BEGIN EXCLUSIVE')
  } catch (cause) {
    database.close()
    if ((cause as { errcode?: unknown }).errcode !== sqliteBusy) throw cause
    throw new DataDirTakenError(`Cannot use ${dataDir}: ${holder(note)} has it`, { cause })
  }
  held.add(database)
  writeNote(note, JSON.stringify({ who, pid: process.pid, since: new Date().toISOString() }))
  return () => {
    if (!database.isOpen) return
    rmSync(note, { force: true })
    database.close()
    held.delete(database)
  }
}

/** On a full disk there is no note; the lock holds all the same. */
function writeNote(note: string, text: string): void {
  try {
    writeFileSync(note, text)
  } catch (error) {
    if (asDiskError(error, 'write the note') === error) throw error
  }
}

/** A database that nothing refers to is collected and closed, and its lock is gone with it. */
const held = new Set<DatabaseSync>()

/** SQLITE_BUSY, https://www.sqlite.org/rescode.html */
const sqliteBusy = 5

function holder(note: string): string {
  try {
    const { who, pid, since } = JSON.parse(readFileSync(note, 'utf8'))
    return `${who} (process ${pid}, since ${since})`
  } catch {
    return 'another process'
  }
}
