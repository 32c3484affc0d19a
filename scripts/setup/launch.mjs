/**
 * Starts a task and stays until it has ended, so that whatever ends the command ends the task.
 *
 * npm passes signals on to the process that it has started, hence `exec` in the scripts of
 * package.json: a shell between the two would die of them and leave the task running.
 */
import { spawn } from 'node:child_process'

/** Runs a command of Node with this process' streams, and passes on how it ended. */
export function launch(node, command) {
  // The channel tells the task when this process is gone, even when it was killed.
  const child = spawn(node, command, { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] })
  let asked = false
  // Ctrl-C reaches the task by the terminal as well, which a role with a parent leaves to the parent.
  process.on('SIGINT', () => {
    if (asked) child.kill('SIGTERM')
    else if (child.connected) child.send({ type: 'shutdown' }, () => {})
    asked = true
  })
  const terminate = () => {
    asked = true
    child.kill('SIGTERM')
  }
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, terminate)
  // A second signal would end the task at once, so none to a task that is ending.
  watchNpm(() => asked || terminate())
  child.once('error', (error) => {
    process.stderr.write(`${node}: ${error.message}\n`)
    process.exitCode = 1
  })
  child.once('exit', (code, signal) => {
    process.exitCode = code ?? (signal === 'SIGINT' ? 130 : 1)
    if (child.connected) child.disconnect()
  })
}

/** Calls back when the npm that started this process is gone: killed, it cannot pass on a signal. */
function watchNpm(end) {
  if (process.env.npm_lifecycle_event === undefined) return
  const parent = process.ppid
  const watch = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(watch)
    end()
  }, 1000)
  watch.unref()
}
