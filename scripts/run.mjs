/**
 * Starts a task after set-up: `node scripts/run.mjs <task> [arguments]`, what `npm run <task>` calls.
 *
 * Runs on Node 18 and newer without dependencies. The task itself is a new process, started by the
 * full path of the Node that set-up has brought: within one line, a shell still knows the old one.
 */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { root } from './setup/system.mjs'
import { report, setUp } from './setup.mjs'

const tasks = {
  start: { file: 'src/main/up.ts', settings: true },
  api: { file: 'src/main/api.ts', settings: true, engine: false, redis: false },
  worker: { file: 'src/main/worker.ts', settings: true, redis: false },
  demo: { file: 'scripts/demo.ts' },
  test: { file: 'scripts/test.ts' },
  ok: { file: 'scripts/ok.ts' }
}

const [name, ...args] = process.argv.slice(2)
const task = tasks[name]
if (task === undefined) {
  process.stderr.write(`Tasks: ${Object.keys(tasks).join(', ')}\n`)
  process.exit(1)
}

try {
  const { file, settings = false, ...needs } = task
  // Variables that are set already win over those of the file (Node's --env-file).
  const options = settings ? [`--env-file-if-exists=${join(root, '.env')}`] : []
  start(await setUp(needs), [...options, join(root, file), ...args])
} catch (error) {
  process.exitCode = report(error)
}

/** Stays until the task has ended and passes on how. */
function start(node, command) {
  // The channel tells the task when this process is gone, even when it was killed.
  const child = spawn(node, command, { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] })
  // Ctrl-C reaches the task by the terminal as well, which a role with a parent leaves to the parent.
  let asked = false
  process.on('SIGINT', () => {
    if (asked) child.kill('SIGTERM')
    else if (child.connected) child.send({ type: 'shutdown' }, () => {})
    asked = true
  })
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill('SIGTERM'))
  child.once('error', (error) => {
    process.stderr.write(`${node}: ${error.message}\n`)
    process.exitCode = 1
  })
  child.once('exit', (code, signal) => {
    process.exitCode = code ?? (signal === 'SIGINT' ? 130 : 1)
    if (child.connected) child.disconnect()
  })
}
