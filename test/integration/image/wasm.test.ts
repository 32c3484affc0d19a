import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { compileResample, wasmFile } from '../../../scripts/wasm.ts'
import { temporaryFolder } from '../../support/catalog.ts'

test('resample.wasm is what resample.ts compiles to (node scripts/wasm.ts writes it)', async (t) => {
  const made = join(await temporaryFolder(t), 'made.wasm')
  await compileResample(made)
  assert.deepEqual(await readFile(wasmFile), await readFile(made))
})
