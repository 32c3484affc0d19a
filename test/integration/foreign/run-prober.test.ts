import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { runProber } from '../../../src/foreign/run-prober.ts'
import { temporaryFolder } from '../../support/catalog.ts'
import { integerList, integers, node, oddModel } from '../../support/foreign-models.ts'

async function orderOf(t: TestContext, model: Uint8Array, maxBatch = 2) {
  const folder = await temporaryFolder(t)
  const [source, target] = [join(folder, 'source'), join(folder, 'target')]
  await writeFile(source, model)
  const said = { input: { scale: 1 }, outputs: 'logits' } as const
  return { source, target, classes: 3, maxBatch, said }
}

/** `x` made large, and then pooled over and over with large windows. */
const slow = (pools: number): Uint8Array => {
  const pooling = Array.from({ length: pools }, (_, i) =>
    node('MaxPool', [`b${i}`], [`b${i + 1}`], (pool) =>
      pool
        .message(5, integerList('kernel_shape', [31, 31]))
        .message(5, integerList('pads', [15, 15, 15, 15]))
    )
  )
  return oddModel({
    tensors: [integers('s', [1, 1, 30, 30])],
    nodes: [
      node('Tile', ['x', 's'], ['b0']),
      ...pooling,
      node('GlobalAveragePool', [`b${pools}`], ['p']),
      node('Flatten', ['p'], ['y'])
    ]
  })
}

test('runProber() ends a model that takes too long', async (t) => {
  const order = await orderOf(t, slow(2000))
  await assert.rejects(runProber(order, { seconds: 2 }), /MODEL_LIMIT.*at most 2 s/)
  assert.ok(!existsSync(order.target))
})

test('runProber() tries the largest batch that will be asked, within the memory', async (t) => {
  // Node has some 1200 MiB of it.
  const memoryKiB = 1500 * 1024
  // 2.8 MB an image in each of its tensors.
  const few = await orderOf(t, slow(2), 2)
  assert.equal((await runProber(few, { memoryKiB })).inputSize, 16)
  const many = await orderOf(t, slow(2), 64)
  await assert.rejects(runProber(many, { memoryKiB }), /MODEL_LIMIT.*memory/)
})

test('runProber() says so when the process itself has too little memory', async (t) => {
  const order = await orderOf(t, oddModel())
  await assert.rejects(runProber(order, { memoryKiB: 10_000 }), /MODEL_(LIMIT|INVALID).*9 MiB/)
})

test('runProber() ends with its signal', async (t) => {
  const order = await orderOf(t, slow(2000))
  const leaving = new AbortController()
  const probing = runProber(order, { signal: leaving.signal })
  setTimeout(() => leaving.abort(new Error('gone')), 500)
  await assert.rejects(probing, /gone/)
  await assert.rejects(runProber(order, { signal: leaving.signal }), /gone/)
})
