import assert from 'node:assert/strict'
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'

const launcher = new URL('../../../scripts/setup/launch.mjs', import.meta.url)

/** Says its process id and how it was asked to end, then ends by itself with code 7. */
const task = `
  process.on('SIGTERM', () => { console.log('SIGTERM'); process.exit(7) })
  process.on('message', ({ type }) => { console.log(type); process.exit(7) })
  process.on('disconnect', () => process.exit(7))
  setInterval(() => {}, 1000)
  console.log(process.pid)`

const script = `
  import { launch } from '${launcher}'
  launch(process.execPath, ['-e', ${JSON.stringify(task)}])`

interface Launched {
  /** What stands in npm's place: it starts the launcher and waits for it. */
  readonly npm: ChildProcessByStdio<null, Readable, null>
  readonly launcher: number
  readonly task: number
  readonly said: () => string
}

async function start(t: TestContext): Promise<Launched> {
  const command = `"$0" --input-type=module -e "$1" & echo $!; wait $!`
  const npm = spawn('/bin/sh', ['-c', command, process.execPath, script], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, npm_lifecycle_event: 'start' }
  })
  t.after(() => npm.kill('SIGKILL'))
  let said = ''
  npm.stdout.on('data', (chunk: Buffer) => {
    said += chunk
  })
  for (let tries = 0; tries < 800 && said.split('\n').length < 3; tries++) await sleep(25)
  const [first, second] = said.split('\n').map(Number)
  assert.ok(first && second, said)
  return { npm, launcher: first, task: second, said: () => said }
}

async function assertGone(...pids: number[]): Promise<void> {
  for (const pid of pids) {
    for (let tries = 0; tries < 800 && isThere(pid); tries++) await sleep(25)
    assert.ok(!isThere(pid), `process ${pid} is left`)
  }
}

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

test('launch() asks the task to end when the npm that started it was killed', async (t) => {
  const started = await start(t)
  started.npm.kill('SIGKILL')
  await assertGone(started.task, started.launcher)
  assert.match(started.said(), /SIGTERM/)
})

test('launch() passes SIGTERM on to the task, and on how that ended', async (t) => {
  const started = await start(t)
  const ended = once(started.npm, 'exit')
  process.kill(started.launcher, 'SIGTERM')
  assert.deepEqual(await ended, [7, null])
  assert.match(started.said(), /SIGTERM/)
})

test('launch() turns SIGINT into the message that ends a role', async (t) => {
  const started = await start(t)
  const ended = once(started.npm, 'exit')
  process.kill(started.launcher, 'SIGINT')
  assert.deepEqual(await ended, [7, null])
  assert.match(started.said(), /shutdown/)
})

test('launch() does not outlive itself: a killed launcher takes the task along', async (t) => {
  const started = await start(t)
  process.kill(started.launcher, 'SIGKILL')
  await assertGone(started.task)
})

test('the scripts of package.json leave no shell between npm and the launcher', () => {
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8'))
  const started = Object.entries<string>(scripts).filter(([, line]) => line.includes('.mjs'))
  const viaShell = started.filter(([name, line]) => name !== 'lint:docker' && !/^exec /.test(line))
  assert.ok(started.length > 5)
  assert.deepEqual(viaShell, [])
})
