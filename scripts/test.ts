/**
 * Runs the tests with Node's own runner, in one run, so that its closing lines stand at the end.
 *
 *   npm test                      everything
 *   npm test -- unit              one level: unit, integration, e2e
 *   npm test -- test/unit/prune   files or folders
 *
 * Many tests are about processes that die at the wrong moment, on machines that others keep busy. So
 * of a run of everything, up to three files that failed are run once more, alone, and named at the end
 * even when they pass then: each of them is a race that waits for somebody to find it.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { childrenOf } from '../test/support/processes.ts'

const levels = ['unit', 'integration', 'e2e']
const wanted = process.argv.slice(2)
const globs = (wanted.length > 0 ? wanted : levels).map((name) => {
  if (levels.includes(name)) return `test/${name}/**/*.test.ts`
  return name.endsWith('.ts') ? name : `${name.replace(/\/$/, '')}/**/*.test.ts`
})

/** Nobody waits longer than this for the result; all of them take some twelve minutes. */
const longestRunMs = 50 * 60_000
/** Of one file, the longest of which takes four. One that never ends must not hide what the others say. */
const longestFileMs = 15 * 60_000
const mostFilesAgain = 3

let isStopped = false
const stop = (runner: ChildProcess): void => {
  isStopped = true
  runner.kill('SIGTERM')
}

/** @returns the exit code and the files in which a test failed */
async function run(files: readonly string[], concurrency: number): Promise<[number, string[]]> {
  const folder = await mkdtemp(join(tmpdir(), 'whittle-test-'))
  const failed = join(folder, 'failed')
  const options = [
    '--test',
    `--test-concurrency=${concurrency}`,
    // Longer than any test here takes on two busy cores.
    '--test-timeout=900000',
    '--test-reporter=spec',
    '--test-reporter-destination=stdout',
    `--test-reporter=${import.meta.resolve('./failed-files.ts')}`,
    `--test-reporter-destination=${failed}`
  ]
  const runner = spawn(process.execPath, [...options, ...files], { stdio: 'inherit' })
  const stopRunner = (): void => stop(runner)
  for (const event of ['SIGINT', 'SIGTERM', 'disconnect']) process.on(event, stopRunner)
  const watch = watchFiles(runner)
  const [status] = await once(runner, 'exit')
  clearInterval(watch)
  for (const event of ['SIGINT', 'SIGTERM', 'disconnect']) process.off(event, stopRunner)
  const lines = (await readFile(failed, 'utf8')).split('\n').filter((line) => line !== '')
  await rm(folder, { recursive: true })
  return [status ?? 1, [...new Set(lines)]]
}

/** Ends test files that take too long, so that the runner goes on with the rest, and late the whole run. */
function watchFiles(runner: ChildProcess): NodeJS.Timeout {
  const firstSeen = new Map<number, number>()
  return setInterval(() => {
    const now = performance.now()
    const children = childrenOf(runner.pid ?? 0)
    for (const pid of firstSeen.keys()) if (!children.includes(pid)) firstSeen.delete(pid)
    for (const pid of children) {
      const since = firstSeen.get(pid) ?? now
      firstSeen.set(pid, since)
      if (now - since < longestFileMs) continue
      process.stderr.write(`test: a file did not end within ${longestFileMs / 60_000} minutes\n`)
      end(pid)
    }
    // What counts is the time since this process began, which `performance.now()` tells.
    if (now < longestRunMs) return
    process.stderr.write(`test: did not end within ${longestRunMs / 60_000} minutes\n`)
    stop(runner)
  }, 10_000)
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has just ended by itself.
  }
}

let [code, failed] = await run(globs, Math.min(4, availableParallelism()))
// A test that a helper declares is known by the helper's file, which is none to be run.
const areFiles = failed.length > 0 && failed.every((file) => file.endsWith('.test.ts'))
const isWorthAnother = areFiles && failed.length <= mostFilesAgain
if (code !== 0 && wanted.length === 0 && isWorthAnother && !isStopped) {
  process.stderr.write(`\ntest: run once more, alone, since they failed: ${failed.join(' ')}\n\n`)
  const first = failed
  ;[code, failed] = await run(first, 1)
  const passed = first.filter((file) => !failed.includes(file))
  if (passed.length > 0) {
    process.stderr.write(
      `\ntest: passed only alone, which is a race to find: ${passed.join(' ')}\n`
    )
  }
}
// The channel to a parent would keep this process alive.
process.exit(code)
