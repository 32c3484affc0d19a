/**
 * One set-up at a time per folder, across processes; a lock whose owner is gone is taken over.
 *
 * A lock is a file made with O_EXCL that holds its owner's process id and host. Another host's lock
 * (a shared home) cannot be checked and is only taken over once it is older than an hour.
 */
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { say } from './system.mjs'

const anHour = 3_600_000

/** Runs `work` while holding the lock file. */
export async function withLock(file, work) {
  await acquire(file)
  const release = () => rmSync(file, { force: true })
  process.once('exit', release)
  try {
    return await work()
  } finally {
    release()
    process.removeListener('exit', release)
  }
}

async function acquire(file) {
  mkdirSync(dirname(file), { recursive: true })
  for (let told = false; ; told = true) {
    try {
      writeFileSync(file, `${process.pid} ${hostname()}`, { flag: 'wx' })
      return
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    }
    if (isStale(file)) {
      rmSync(file, { force: true })
      continue
    }
    if (!told) say(`another set-up is at work (${file}): waiting for it`)
    await sleep(500)
  }
}

function isStale(file) {
  try {
    const [pid, host] = readFileSync(file, 'utf8').split(' ')
    // An empty file is one that its owner is just about to write.
    const age = Date.now() - statSync(file).mtimeMs
    if (!pid || host !== hostname()) return age > (pid ? anHour : 5000)
    process.kill(Number(pid), 0)
    return false
  } catch (error) {
    return error.code === 'ESRCH'
  }
}
