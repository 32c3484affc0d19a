/** Starting and ending trainers: what the system refuses, and what a signal does to one that is stuck. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import type { FromTrainer } from '../../../src/contract/trainer.ts'
import { startTrainer, type TrainerProcess } from '../../../src/worker/trainer-process.ts'
import { smallRecipe, trainerBench } from '../../support/trainer-run.ts'
import { until } from '../../support/until.ts'

/** One that hears everything and ends for nothing: it waits for somebody to write its manifest. */
async function stuckTrainer(t: TestContext): Promise<TrainerProcess> {
  const { assignment, paths } = await trainerBench(t, smallRecipe)
  const manifest = join(paths.dataset, 'manifest.jsonl')
  await rm(manifest)
  execFileSync('mkfifo', [manifest])
  const trainer = await new Promise<TrainerProcess>((resolve) => {
    const onMessage = ({ type }: FromTrainer) => type === 'stage' && resolve(started)
    const options = { engine: 'wasm', threads: 1, onMessage, onOutput: () => {} }
    const started = startTrainer(options)
    started.send({ type: 'start', assignment, paths })
  })
  t.after(() => trainer.kill())
  return trainer
}

/** Signals that a process has a handler for are bits of a mask, proc(5); SIGTERM is the 15th. */
function catchesSigterm({ pid }: TrainerProcess): boolean {
  const [, mask] = /^SigCgt:\s*(\w+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return (BigInt(`0x${mask}`) & (1n << 14n)) !== 0n
}

test('SIGTERM to the whole group leaves a trainer to its supervisor, whose own ends it', async (t) => {
  const trainer = await stuckTrainer(t)
  process.kill(trainer.pid, 'SIGTERM')
  await until(() => !catchesSigterm(trainer))
  await trainer.end('checkpoint', 50)
  assert.deepEqual(await trainer.ended, { exitCode: null, signal: 'SIGTERM' })
})

test('end() kills a trainer that takes SIGTERM for an order it has got already', async (t) => {
  const trainer = await stuckTrainer(t)
  await trainer.end('cancel', 50)
  assert.deepEqual(await trainer.ended, { exitCode: null, signal: 'SIGKILL' })
})

test('startTrainer() of a process that may open no more files says so, and is no end of a trainer', async () => {
  const module = new URL('../../../src/worker/trainer-process.ts', import.meta.url)
  const script = `
    import { openSync } from 'node:fs'
    import { startTrainer } from '${module}'
    try { for (;;) openSync('/dev/null') } catch {}
    const ignore = () => {}
    try {
      const options = { engine: 'wasm', threads: 1, onMessage: ignore, onOutput: ignore }
      const trainer = startTrainer(options)
      trainer.send({ type: 'probe' })
      await trainer.end('cancel', 1000)
      console.log(await trainer.ended)
    } catch (error) { console.log(error.name, error.message) }`
  const command = 'ulimit -n 60; exec "$0" --input-type=module --eval "$1"'
  const child = spawn('/bin/sh', ['-c', command, process.execPath, script])
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)])
  assert.match(output, /^PutOff Cannot start a trainer: spawn \S+ EMFILE$/m, errors)
})
