import assert from 'node:assert/strict'
import { readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { FromTrainer } from '../../../src/contract/trainer.ts'
import { initialWeights } from '../../../src/network/initialize.ts'
import { pipelineForm } from '../../../src/worker/checkpoint-file.ts'
import { Checkpoints } from '../../../src/worker/checkpoints.ts'
import { emptyState, type PipelineState } from '../../../src/worker/pipeline-state.ts'
import { TrainerChannel } from '../../../src/worker/trainer-channel.ts'
import { temporaryFolder } from '../../support/catalog.ts'
import { builtNetwork } from '../../support/networks.ts'
import { of } from '../../support/trainer-run.ts'

const network = builtNetwork({ architecture: 'simple-cnn', inputSize: 8, width: 0.25 })
const state = (seed: number): PipelineState => ({
  ...emptyState,
  baseline: { network, weights: initialWeights(network, seed) }
})

/** Checkpoints in a folder, and what was said about them. */
function inFolder(folder: string) {
  const messages: FromTrainer[] = []
  const channel = new TrainerChannel(async (message) => void messages.push(message))
  const told = () => of(messages, 'log').map(({ message }) => message)
  /** As the catalogue hands them out: newest first. */
  const announced = () => of(messages, 'checkpoint').toReversed()
  return { checkpoints: new Checkpoints(folder, channel, pipelineForm), announced, told }
}

test('the last two are kept, whole and under their names only', async (t) => {
  const folder = await temporaryFolder(t)
  const { checkpoints, announced, told } = inFolder(folder)
  for (const seed of [1, 2, 3]) await checkpoints.write(() => state(seed))
  const names = announced().map(({ name }) => name)
  assert.deepEqual((await readdir(folder)).sort(), names.slice(0, 2).sort())
  assert.deepEqual(await inFolder(folder).checkpoints.load(announced()), state(3))
  assert.deepEqual(told(), [])
})

test('a later attempt numbers on', async (t) => {
  const folder = await temporaryFolder(t)
  const first = inFolder(folder)
  await first.checkpoints.write(() => state(1))
  const second = inFolder(folder)
  await second.checkpoints.load(first.announced())
  await second.checkpoints.write(() => state(2))
  assert.deepEqual(
    [...second.announced(), ...first.announced()].map(({ name }) => name),
    ['checkpoint-000002.safetensors', 'checkpoint-000001.safetensors']
  )
})

const damages: Record<string, (file: string) => Promise<void>> = {
  'with a flipped byte': async (file) => {
    const bytes = await readFile(file)
    bytes[bytes.length - 5] = (bytes[bytes.length - 5] ?? 0) ^ 1
    await writeFile(file, bytes)
  },
  'cut off': (file) => truncate(file, 1000),
  'of no bytes': (file) => truncate(file, 0),
  'that is gone': (file) => rm(file)
}

for (const [kind, damage] of Object.entries(damages)) {
  test(`a checkpoint ${kind} is passed over for the one before, and the log says so`, async (t) => {
    const folder = await temporaryFolder(t)
    const written = inFolder(folder)
    for (const seed of [1, 2]) await written.checkpoints.write(() => state(seed))
    const [newest, older] = written.announced()
    assert.ok(newest && older)
    await damage(join(folder, newest.name))
    const { checkpoints, announced, told } = inFolder(folder)
    assert.deepEqual(await checkpoints.load([newest, older]), state(1))
    assert.equal(told().length, 1)
    assert.match(told()[0] ?? '', new RegExp(`^checkpoint ${newest.name} cannot be used: `))
    await checkpoints.write(() => state(3))
    assert.deepEqual(announced()[0]?.damaged, [newest.name])

    await damage(join(folder, older.name))
    const again = inFolder(folder)
    assert.equal(await again.checkpoints.load([newest, older]), undefined)
    assert.equal(again.told().length, 2)
  })
}
