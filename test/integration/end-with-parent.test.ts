import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { isRunning } from '../support/processes.ts'
import { until } from '../support/until.ts'

const parent = new URL('../support/stuck-parent.ts', import.meta.url)

test('endWithParent() ends a process whose event loop stands still when its parent is killed', async (t) => {
  const child = fork(parent)
  t.after(() => child.kill('SIGKILL'))
  const [pid] = (await once(child, 'message')) as [number]
  t.after(() => isRunning(pid) && process.kill(pid, 'SIGKILL'))
  assert.ok(isRunning(pid))
  child.kill('SIGKILL')
  await until(() => !isRunning(pid))
})
