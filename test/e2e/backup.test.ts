import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { shapeImages } from '../support/shapes-dataset.ts'
import { type Json, startWhittle, type Whittle } from '../support/whittle.ts'

const main = (name: string): string =>
  fileURLToPath(new URL(`../../src/main/${name}.ts`, import.meta.url))

/** Runs `npm run backup` or `npm run restore` as the launcher does. */
async function command(name: 'backup' | 'restore', folder: string, dataDir: string) {
  const env = { ...process.env, WHITTLE_DATA_DIR: dataDir }
  const child = spawn(process.execPath, [main(name), folder], { env })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text
    })
  }
  const [code] = await once(child, 'close')
  return { code, output }
}

const recipe = (epochs: number) => ({
  network: { architecture: 'simple-cnn', width: 0.25, inputSize: 16 },
  train: { epochs, batchSize: 8, learningRate: 0.02 }
})

const post = async (whittle: Whittle, model: string, epochs: number): Promise<string> => {
  const spec = { dataset: 'shapes', model, seed: 11, recipe: recipe(epochs) }
  const { status, body } = await whittle.post('/v1/jobs', spec)
  assert.equal(status, 202, JSON.stringify(body))
  return body.id
}

const completed = async (whittle: Whittle, job: string): Promise<void> => {
  const document = await whittle.watch(job, ({ state }: Json) =>
    ['completed', 'failed', 'cancelled'].includes(state)
  )
  assert.equal(document.state, 'completed', JSON.stringify(document.error))
}

test('a backup of a working whittle predicts the same elsewhere, and its running job goes on there', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'whittle-backup-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const first = await startWhittle(t)
  await first.uploadShapes('shapes', { seed: 4, perClass: 40 })
  await completed(first, await post(first, 'finished', 10))
  const running = await post(first, 'running', 200)
  await first.watch(running, ({ progress }: Json) => progress > 0.2)

  const [image] = await shapeImages(99, 1)
  const predict = async (whittle: Whittle) => {
    const images = [{ b64: image?.png.toString('base64') }]
    const { status, body } = await whittle.post('/v1/models/finished/predictions', { images })
    assert.equal(status, 200, JSON.stringify(body))
    return body.predictions
  }
  const expected = await predict(first)
  const backup = join(folder, 'backup')
  const made = await command('backup', backup, first.dataDir)
  assert.equal(made.code, 0, made.output)
  const again = await command('backup', backup, first.dataDir)
  assert.match(again.output, /it exists; name a new folder/)
  const refused = await command('restore', backup, first.dataDir)
  assert.match(refused.output, /npm start .* has it/)
  assert.equal(await first.stop(), 0)

  const dataDir = join(folder, 'elsewhere')
  const restored = await command('restore', backup, dataDir)
  assert.equal(restored.code, 0, restored.output)
  const second = await startWhittle(t, dataDir)
  assert.deepEqual(await predict(second), expected)
  await completed(second, running)
  assert.match((await second.get(`/v1/jobs/${running}/logs`)).body, /going on from a checkpoint/)
})
