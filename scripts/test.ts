/**
 * Runs the tests with Node's own runner, in one run, so that its closing lines stand at the end.
 *
 *   npm test                      everything
 *   npm test -- unit              one level: unit, integration, e2e
 *   npm test -- test/unit/prune   files or folders
 */
import { spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'

const levels = ['unit', 'integration', 'e2e']
const wanted = process.argv.slice(2)
const globs = (wanted.length > 0 ? wanted : levels).map((name) => {
  if (levels.includes(name)) return `test/${name}/**/*.test.ts`
  return name.endsWith('.ts') ? name : `${name.replace(/\/$/, '')}/**/*.test.ts`
})

const options = [
  '--test',
  `--test-concurrency=${Math.min(4, availableParallelism())}`,
  // Longer than any test here takes on two busy cores; a hanging one must not hang the run.
  '--test-timeout=300000',
  '--test-reporter=spec'
]
const runner = spawn(process.execPath, [...options, ...globs], { stdio: 'inherit' })
process.on('SIGINT', () => runner.kill('SIGINT'))
process.on('SIGTERM', () => runner.kill('SIGTERM'))
process.on('disconnect', () => runner.kill('SIGTERM'))
// The channel to a parent would keep this process alive.
runner.once('exit', (code) => process.exit(code ?? 1))
