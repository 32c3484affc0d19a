import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Death, memoryEvidence, readMemoryKills } from '../../../src/worker/memory-evidence.ts'

const death = (changes: Partial<Death>): Death => ({
  signal: null,
  output: '',
  killsBefore: new Map(),
  killsAfter: new Map(),
  ...changes
})

test('memoryEvidence() believes what allocators say', () => {
  for (const [output, words] of [
    [
      'FATAL ERROR: Ineffective mark-compacts near heap limit Allocation failed - JavaScript heap out of memory\n',
      'JavaScript heap out of memory'
    ],
    ["terminate called after throwing an instance of 'std::bad_alloc'\n", 'std::bad_alloc'],
    [
      'Error: OOM when allocating tensor with shape[512,64]\n    at x',
      'OOM when allocating tensor with shape[512,64]'
    ],
    ['RangeError: Array buffer allocation failed', 'Array buffer allocation failed']
  ] as const) {
    assert.equal(memoryEvidence(death({ output })), `it said "${words}"`)
  }
  assert.equal(memoryEvidence(death({ output: 'room for 3 images' })), undefined)
})

test('memoryEvidence() takes SIGKILL for one only if the kernel has counted a kill meanwhile', () => {
  const kills = { killsBefore: new Map([['memory.events', 2]]) }
  const rise = { ...kills, killsAfter: new Map([['memory.events', 3]]) }
  const same = { ...kills, killsAfter: kills.killsBefore }
  assert.match(
    memoryEvidence(death({ signal: 'SIGKILL', ...rise })) ?? '',
    /killed 1 process .*memory\.events/
  )
  assert.equal(memoryEvidence(death({ signal: 'SIGKILL', ...same })), undefined)
  assert.equal(memoryEvidence(death({ signal: 'SIGSEGV', ...rise })), undefined)
  // A counter that was not there before says nothing.
  const fresh = { killsAfter: new Map([['vmstat', 7]]) }
  assert.equal(memoryEvidence(death({ signal: 'SIGKILL', ...fresh })), undefined)
})

/** A made-up /proc and /sys/fs/cgroup, as far as they are read. */
function places(t: TestContext, files: Readonly<Record<string, string>>) {
  const root = mkdtempSync(join(tmpdir(), 'whittle-proc-'))
  t.after(() => rmSync(root, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true })
    writeFileSync(join(root, name), text)
  }
  const read = () => readMemoryKills({ proc: join(root, 'proc'), cgroups: join(root, 'cgroup') })
  return () => [...read()].map(([file, count]) => [file.slice(root.length + 1), count])
}

const events = (kills: number): string => `low 0\nhigh 0\nmax 9\noom 1\noom_kill ${kills}\n`

test('readMemoryKills() reads the control group of version 2 and the machine', (t) => {
  const read = places(t, {
    'proc/self/cgroup': '0::/user.slice/job\n',
    'proc/vmstat': 'nr_free_pages 12\noom_kill 4\n',
    'cgroup/user.slice/job/memory.events': events(3)
  })
  assert.deepEqual(read(), [
    ['cgroup/user.slice/job/memory.events', 3],
    ['proc/vmstat', 4]
  ])
})

test('readMemoryKills() reads version 1, and the root where the path is one from outside', (t) => {
  const read = places(t, {
    'proc/self/cgroup': '9:name=systemd:/\n4:cpu,memory:/docker/0123\n0::/\n',
    'cgroup/memory/memory.oom_control': 'oom_kill_disable 0\nunder_oom 0\noom_kill 5\n'
  })
  assert.deepEqual(read(), [['cgroup/memory/memory.oom_control', 5]])
})

test('readMemoryKills() is empty where the system counts nothing', (t) => {
  assert.deepEqual(places(t, {})(), [])
})
