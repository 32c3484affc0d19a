/**
 * Says that something in a cache folder is in use, to every process on the machine, and stops saying so
 * when the process ends, however it ends.
 *
 * The kernel holds the lock, on an empty file beside what is used. Node has no flock; SQLite's read and
 * exclusive transactions are shared and exclusive locks (https://www.sqlite.org/lockingv3.html), and
 * nothing is ever written, so this works on a full disk too.
 */
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

export interface Use {
  /** Ends the use; ending it twice is harmless. */
  end(): void
}

/** How long to wait for who looks whether it may remove the thing: that takes a rename. */
const patienceMs = 5000
/** SQLITE_BUSY, https://www.sqlite.org/rescode.html */
const sqliteBusy = 5

/** A lock that nothing refers to would be collected and dropped. */
const held = new Set<DatabaseSync>()

/** Takes part in the use that `lock` stands for; any number may, at a time. */
export function use(lock: string): Use {
  mkdirSync(dirname(lock), { recursive: true })
  const database = new DatabaseSync(lock, { timeout: patienceMs })
  try {
    database.exec('begin; select 1 from sqlite_master')
  } catch (error) {
    database.close()
    throw error
  }
  held.add(database)
  return {
    end() {
      if (held.delete(database)) database.close()
    }
  }
}

/** Runs `work` while nobody can begin to use what `lock` stands for; false, at once, if somebody does. */
export function unlessUsed(lock: string, work: () => void): boolean {
  const database = new DatabaseSync(lock, { timeout: 0 })
  try {
    database.exec('begin exclusive')
    work()
    return true
  } catch (error) {
    if ((error as { errcode?: unknown }).errcode === sqliteBusy) return false
    throw error
  } finally {
    database.close()
  }
}
