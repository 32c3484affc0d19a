/** The one gate, identical to CI: lint and format, types, dead code, delivery files, then the tests. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const tool = (name: string) => join(root, 'node_modules', '.bin', name)

const checks: readonly (readonly [title: string, command: string, args: readonly string[]])[] = [
  ['lint and format', tool('biome'), ['ci', '--error-on-warnings', '.']],
  ['types', tool('tsc'), []],
  ['dead code', tool('knip'), []],
  ['delivery files', process.execPath, [join(root, 'scripts', 'lint-docker.mjs')]],
  ['tests', 'npm', ['test']]
]

for (const [title, command, args] of checks) {
  const started = performance.now()
  process.stderr.write(`ok: ${title} ...\n`)
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit' })
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  process.stderr.write(`ok: ${title} ${status === 0 ? 'passed' : 'FAILED'} (${seconds} s)\n`)
  if (status !== 0) process.exit(1)
}
