/**
 * A trainer whose disk is full says so and ends in order, whichever file it is that finds no room.
 *
 * /dev/full (null(4)) answers every write with ENOSPC; a link in the scratch folder leads there.
 */
import assert from 'node:assert/strict'
import { symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { of, runTrainer, trainerBench } from '../../support/trainer-run.ts'

const recipe = {
  network: { architecture: 'simple-cnn', width: 0.5, inputSize: 16 },
  train: { epochs: 2, batchSize: 16 },
  quantize: null
} as const

for (const [what, file] of [
  ['a checkpoint', 'checkpoint-000001.safetensors.partial'],
  ['an artifact', 'artifacts/baseline.onnx']
] as const) {
  test(`a trainer that has no room for ${what} fails with DISK_FULL, and does not crash`, async (t) => {
    const bench = await trainerBench(t, recipe)
    await symlink('/dev/full', join(bench.paths.scratch, file))
    const { messages, end } = await runTrainer(bench)
    const [failed] = of(messages, 'failed')
    assert.equal(failed?.code, 'DISK_FULL', JSON.stringify(messages.at(-1)))
    assert.match(failed.detail, /no room is left on the disk \(ENOSPC\)/)
    assert.deepEqual(end, { exitCode: 0, signal: null })
  })
}
