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
  '--test-timeout=900000',
  '--test-reporter=spec'
]
/** All of them take some ten minutes; a file that never ends must not hold up whoever waits for the result. */
const longestRunMs = 50 * 60_000

const runner = spawn(process.execPath, [...options, ...globs], { stdio: 'inherit' })
process.on('SIGINT', () => runner.kill('SIGINT'))
process.on('SIGTERM', () => runner.kill('SIGTERM'))
process.on('disconnect', () => runner.kill('SIGTERM'))
setTimeout(() => {
  process.stderr.write(`The tests did not end within ${longestRunMs / 60_000} minutes\n`)
  runner.kill('SIGTERM')
}, longestRunMs).unref()
// The channel to a parent would keep this process alive.
runner.once('exit', (code) => process.exit(code ?? 1))
