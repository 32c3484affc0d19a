/**
 * Ends a forked process together with the one that forked it, however that one ends.
 *
 * The closed channel is noticed when the event loop turns, which it does not while a native library
 * computes for minutes. So a thread of its own watches as well: a process whose parent has died is given
 * another one. Nothing of a forked process is worth saving then, and it is killed where it stands.
 */
import { Worker } from 'node:worker_threads'

/** JavaScript as it is, so that the thread starts in some 20 ms; in a thread, exit() would end only that. */
const watch = `
  const { workerData } = require('node:worker_threads')
  setInterval(() => {
    if (process.ppid !== workerData) process.kill(process.pid, 'SIGKILL')
  }, 500)`

/** To be called first of all by the entry file of a forked process. */
export function endWithParent(): void {
  process.on('disconnect', () => process.exit(0))
  const thread = new Worker(watch, {
    eval: true,
    workerData: process.ppid,
    execArgv: [],
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: 8, maxYoungGenerationSizeMb: 1 }
  })
  thread.unref()
  // It may have died before its number was read.
  if (process.send !== undefined && !process.connected) process.exit(0)
}
