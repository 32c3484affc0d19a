/**
 * A disk that other programs fill to the last byte under a working whittle: nothing that was accepted is
 * lost, requests are answered meanwhile, and everything goes on by itself when there is room again.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import sharp from 'sharp'
import { ZipFile } from 'yazl'
import { isRunning, processesOf } from '../support/processes.ts'
import { shapeImages } from '../support/shapes-dataset.ts'
import { fillDisk, freeDisk, testOnSmallDisk } from '../support/small-disk.ts'
import { until } from '../support/until.ts'
import { type Json, startWhittle, type Whittle } from '../support/whittle.ts'

const noiseImages = 1500

/** An archive that takes seconds to import: files of noise are as large as their pixels. */
async function noiseZip(): Promise<Buffer<ArrayBuffer>> {
  const raw = { width: 64, height: 64, channels: 3 } as const
  const zip = new ZipFile()
  for (let i = 0; i < noiseImages; i++) {
    const noise = sharp(randomBytes(raw.width * raw.height * raw.channels), { raw })
    const png = await noise.png({ compressionLevel: 1 }).toBuffer()
    zip.addBuffer(png, `${i % 2 === 0 ? 'even' : 'odd'}/${i}.png`, { compress: false })
  }
  zip.end()
  return Buffer.concat((await Array.fromAsync(zip.outputStream)) as Buffer[])
}

const spec = (model: string, epochs: number) => ({
  dataset: 'shapes',
  model,
  seed: 11,
  recipe: {
    network: { architecture: 'simple-cnn', width: 0.25, inputSize: 16 },
    train: { epochs, batchSize: 8, learningRate: 0.02 }
  }
})

async function post(whittle: Whittle, model: string, epochs: number): Promise<string> {
  const { status, body } = await whittle.post('/v1/jobs', spec(model, epochs))
  assert.equal(status, 202, JSON.stringify(body))
  return body.id
}

const read = async (whittle: Whittle, path: string): Promise<Json> => {
  const { status, body } = await whittle.get(path)
  assert.equal(status, 200, `${path}: ${JSON.stringify(body)}`)
  return body
}

async function completed(whittle: Whittle, job: string): Promise<void> {
  let document: Json
  await until(async () => {
    document = await read(whittle, `/v1/jobs/${job}`)
    return ['completed', 'failed', 'cancelled'].includes(document.state)
  })
  assert.equal(document.state, 'completed', JSON.stringify(document.error))
}

async function predict(whittle: Whittle): Promise<Json> {
  const [image] = await shapeImages(99, 1)
  const images = [{ b64: image?.png.toString('base64') }]
  const { status, body } = await whittle.post('/v1/models/served/predictions', { images })
  assert.equal(status, 200, JSON.stringify(body))
  return body.predictions
}

/** Fills the disk until `isFelt`: what whittle gives up to have room is taken from it again. */
const keepFull = (disk: string, isFelt: () => boolean | Promise<boolean>): Promise<void> =>
  until(() => {
    fillDisk(disk)
    return isFelt()
  })

/** Posts jobs until one is refused for want of room. Returns those that were accepted. */
async function postUntilRefused(whittle: Whittle, disk: string): Promise<string[]> {
  const accepted: string[] = []
  await keepFull(disk, async () => {
    const { status, body } = await whittle.post('/v1/jobs', spec('small', 1))
    if (status === 202) accepted.push(body.id)
    else assert.deepEqual([status, body.code], [507, 'DISK_FULL'])
    return status === 507
  })
  return accepted
}

interface Known {
  readonly datasets: readonly string[]
  readonly jobs: readonly string[]
  readonly predictions: Json
}

async function assertAnswers(whittle: Whittle, zip: Buffer<ArrayBuffer>, known: Known) {
  const upload = await whittle.upload('refused', zip)
  assert.deepEqual([upload.status, upload.body.code], [507, 'DISK_FULL'])
  for (const name of known.datasets) await read(whittle, `/v1/datasets/${name}`)
  for (const id of known.jobs) await read(whittle, `/v1/jobs/${id}`)
  await read(whittle, '/v1/storage')
  await read(whittle, '/health/ready')
  assert.deepEqual(await predict(whittle), known.predictions)
}

const codesOf = ({ health }: Json): string[] => health.map(({ code }: Json) => code)

/** Ends it and looks at what it leaves behind. */
async function assertSoundEnd(whittle: Whittle): Promise<void> {
  const processes = processesOf(whittle.process.pid ?? 0)
  assert.ok(processes.length > 3)
  assert.equal(await whittle.stop(), 0)
  await until(() => !processes.some(({ pid }) => isRunning(pid)))
  const file = join(whittle.dataDir, 'catalog', 'catalog.sqlite')
  const catalog = new DatabaseSync(file, { readOnly: true })
  const faults = catalog.prepare('pragma integrity_check').all()
  assert.equal(faults[0]?.integrity_check, 'ok')
  assert.deepEqual(catalog.prepare('pragma foreign_key_check').all(), [])
  catalog.close()
}

testOnSmallDisk(
  'a disk filled during a training and during an import loses nothing that was accepted',
  { file: import.meta.filename, MiB: 256 },
  async (t, disk) => {
    const starting = startWhittle(t, join(disk, 'data'))
    const [whittle, zip] = await Promise.all([starting, noiseZip()])
    await whittle.uploadShapes('shapes', { seed: 4, perClass: 40 })
    await completed(whittle, await post(whittle, 'served', 5))
    const predictions = await predict(whittle)

    const job = await post(whittle, 'trained', 60)
    await whittle.watch(job, ({ progress }: Json) => progress > 0.1)
    const jobs = [job, ...(await postUntilRefused(whittle, disk))]
    await keepFull(disk, () => !whittle.has('trainer'))
    await assertAnswers(whittle, zip, { datasets: ['shapes'], jobs, predictions })
    await freeDisk(disk)
    await until(async () => (await read(whittle, `/v1/jobs/${job}`)).state === 'queued')

    const { status, body } = await whittle.upload('noise', zip)
    assert.equal(status, 202, JSON.stringify(body))
    await keepFull(disk, async () => {
      const dataset = await read(whittle, '/v1/datasets/noise')
      assert.equal(dataset.status, 'importing', 'it was over before the disk was full')
      return codesOf(dataset).includes('IMPORT_WAITS_FOR_ROOM')
    })
    jobs.push(...(await postUntilRefused(whittle, disk)))
    await assertAnswers(whittle, zip, { datasets: ['shapes', 'noise'], jobs, predictions })
    await freeDisk(disk)

    await until(async () => (await read(whittle, '/v1/datasets/noise')).status !== 'importing')
    const noise = await read(whittle, '/v1/datasets/noise')
    assert.deepEqual([noise.status, noise.images], ['ready', noiseImages])
    for (const id of jobs) await completed(whittle, id)
    const { attempt } = await read(whittle, `/v1/jobs/${job}`)
    assert.ok(attempt > 1)
    assert.match(await read(whittle, `/v1/jobs/${job}/logs`), /put off until .*ENOSPC/)
    await assertSoundEnd(whittle)
  }
)
