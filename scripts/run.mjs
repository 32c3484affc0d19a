/**
 * Starts a task after set-up: `node scripts/run.mjs <task> [arguments]`, what `npm run <task>` calls.
 *
 * Runs on Node 18 and newer without dependencies. The task itself is a new process, started by the
 * full path of the Node that set-up has brought: within one line, a shell still knows the old one.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { launch } from './setup/launch.mjs'
import { root } from './setup/system.mjs'
import { report, setUp } from './setup.mjs'

const tasks = {
  start: { file: 'src/main/up.ts', settings: true },
  api: { file: 'src/main/api.ts', settings: true, engine: false, redis: false },
  worker: { file: 'src/main/worker.ts', settings: true, redis: false },
  backup: { file: 'src/main/backup.ts', settings: true, engine: false, redis: false },
  restore: { file: 'src/main/restore.ts', settings: true, engine: false, redis: false },
  demo: { file: 'scripts/demo.ts' },
  chaos: { file: 'scripts/chaos.ts' },
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
  const envFile = join(root, '.env')
  const options = settings && existsSync(envFile) ? [`--env-file=${envFile}`] : []
  launch(await setUp(needs), [...options, join(root, file), ...args])
} catch (error) {
  process.exitCode = report(error)
}
