/** Packs on a real file system from a real tar: what training will read. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { type TestContext, test } from 'node:test'
import sharp from 'sharp'
import { pack as tarPack } from 'tar-stream'
import type { ManifestHeader, ManifestImage } from '../../src/contract/internal.ts'
import { DamagedDataset } from '../../src/dataset/damaged-dataset.ts'
import { type BuildPackOptions, buildPack, openPack, packName } from '../../src/dataset/pack.ts'
import { splits } from '../../src/dataset/pack-file.ts'

/** `levels.length` grey images of 8x8; image i has the level levels[i], every tenth is test, and so on. */
async function dataset(t: TestContext, levels: readonly number[]) {
  const dir = await mkdtemp(join(tmpdir(), 'whittle-pack-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  const pngs = await Promise.all(
    levels.map((level, i) =>
      sharp(Buffer.alloc(64, level), { raw: { width: 8, height: 8, channels: 1 } })
        .withExif({ IFD0: { Copyright: `${i}` } })
        .png()
        .toBuffer()
    )
  )
  const images: ManifestImage[] = pngs.map((bytes, i) => ({
    sha256: createHash('sha256').update(bytes).digest('hex'),
    label: i % 2,
    split:
      i % 10 === 9
        ? ('test' as const)
        : i % 10 === 8
          ? ('validation' as const)
          : ('train' as const),
    bytes: bytes.length
  }))
  const inSplit = (split: string) => images.filter((image) => image.split === split).length
  const header: ManifestHeader = {
    id: 'ds_1',
    name: 'levels',
    version: 1,
    hash: 'a'.repeat(64),
    labels: ['even', 'odd'],
    counts: { train: inSplit('train'), validation: inSplit('validation'), test: inSplit('test') }
  }
  const tar = tarPack()
  for (const [i, image] of images.entries())
    tar.entry({ name: image.sha256 }, pngs[i] ?? Buffer.alloc(0))
  tar.finalize()
  await pipeline(tar, createWriteStream(join(dir, 'images.tar')))
  await writeManifest(join(dir, 'manifest.jsonl'), [header, ...images])
  const shape = { size: 8, channels: 1, resize: 'stretch' } as const
  const options: BuildPackOptions = {
    tar: join(dir, 'images.tar'),
    manifest: join(dir, 'manifest.jsonl'),
    out: join(dir, 'packs', packName({ hash: header.hash, ...shape })),
    ...shape
  }
  return { dir, options, header, images }
}

const writeManifest = (file: string, lines: readonly unknown[]): Promise<void> =>
  writeFile(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(''))

test('openPack() reads back every pixel, label and split by position', async (t) => {
  const levels = Array.from({ length: 40 }, (_, i) => i * 6)
  const { options, images } = await dataset(t, levels)
  const shares: number[] = []
  await buildPack({ ...options, onProgress: (share) => shares.push(share) })
  const pack = openPack(options.out)
  t.after(() => pack.close())
  assert.deepEqual(pack.labels, ['even', 'odd'])
  for (const split of splits) {
    const expected = images.flatMap((image, i) => (image.split === split ? [i] : []))
    const source = pack[split]
    assert.equal(source.count, expected.length)
    assert.deepEqual(
      [...source.labels],
      expected.map((i) => i % 2)
    )
    const into = new Uint8Array(source.count * 64)
    const backwards = Array.from({ length: source.count }, (_, i) => source.count - 1 - i)
    for (const positions of [backwards, backwards.toReversed()]) {
      source.read(positions, into)
      positions.forEach((position, i) => {
        const image = into.subarray(i * 64, i * 64 + 64)
        assert.ok(image.every((value) => value === levels[expected[position] ?? -1]))
      })
    }
  }
  assert.equal(shares.at(-1), 1)
  const train = levels.filter((_, i) => i % 10 < 8)
  const mean = train.reduce((a, b) => a + b) / train.length
  const std = Math.sqrt(train.reduce((a, b) => a + (b - mean) ** 2, 0) / train.length)
  assert.ok(Math.abs(pack.mean - mean) < 1e-9 && Math.abs(pack.std - std) < 1e-9)
})

test('ImageSource.read() refuses positions outside and buffers that are too short', async (t) => {
  const { options } = await dataset(t, [10, 20, 30])
  await buildPack(options)
  const pack = openPack(options.out)
  t.after(() => pack.close())
  for (const positions of [[3], [-1], [0.5], [2, 3], [Number.NaN]]) {
    assert.throws(() => pack.train.read(positions, new Uint8Array(1000)), RangeError)
  }
  assert.throws(() => pack.train.read([0, 1], new Uint8Array(127)), RangeError)
})

test('buildPack() by two builders at once leaves one whole pack and nothing else', async (t) => {
  const { dir, options } = await dataset(t, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
  await Promise.all([buildPack(options), buildPack(options)])
  openPack(options.out).close()
  assert.equal((await readdir(join(dir, 'packs'))).length, 1)
  const { ino } = await stat(options.out)
  await buildPack(options)
  assert.equal((await stat(options.out)).ino, ino, 'a whole pack is kept')
})

test('buildPack() replaces a damaged pack, which openPack() refuses', async (t) => {
  const { options } = await dataset(t, [1, 2, 3, 4])
  await buildPack(options)
  const { size } = await stat(options.out)
  await truncate(options.out, size - 1)
  assert.throws(() => openPack(options.out), /does not end as a pack does/)
  await buildPack(options)
  openPack(options.out).close()
})

test('buildPack() that is aborted or given another tar leaves nothing', async (t) => {
  const { dir, options, header, images } = await dataset(t, [1, 2, 3, 4])
  await assert.rejects(buildPack({ ...options, signal: AbortSignal.abort(new Error('no more')) }))
  const [first, ...rest] = images
  await writeManifest(options.manifest, [header, ...rest, first])
  await assert.rejects(buildPack(options), /the next image must be/)
  const counts = { train: 1, validation: 0, test: 0 }
  await writeManifest(options.manifest, [{ ...header, counts }, first])
  await assert.rejects(buildPack(options), /the next image must be none/)
  await writeManifest(options.manifest, [
    { ...header, counts: { ...counts, train: 5 } },
    ...images,
    first
  ])
  await assert.rejects(buildPack(options), /the tar ends before/)
  assert.deepEqual(await readdir(join(dir, 'packs')), [])
})

test('buildPack() of a copy that has lost bytes says that the copy is damaged', async (t) => {
  const { dir, options, images } = await dataset(t, [1, 2, 3, 4])
  const whole = await readFile(options.tar)
  const [, second] = images
  const altered = Buffer.from(whole)
  // The second entry's header is after the first's header and data.
  const place = altered.indexOf(`${second?.sha256}`) + 512 + 40
  altered[place] = (altered[place] ?? 0) ^ 1
  const copies = {
    'cut at a block': whole.subarray(0, 1536),
    'cut in a header': whole.subarray(0, 1600),
    'cut in an image': whole.subarray(0, 600),
    'never written': Buffer.alloc(whole.length),
    'written over': Buffer.alloc(whole.length, 'x'),
    'one bit off': altered,
    empty: Buffer.alloc(0)
  }
  for (const [what, bytes] of Object.entries(copies)) {
    await writeFile(options.tar, bytes)
    await assert.rejects(buildPack(options), DamagedDataset, what)
  }
  await rm(options.tar)
  await assert.rejects(buildPack(options), DamagedDataset, 'no images')
  await rm(options.manifest)
  await assert.rejects(buildPack(options), DamagedDataset, 'no manifest')
  assert.deepEqual(await readdir(join(dir, 'packs')), [])
})

test('buildPack() refuses a manifest that is none, or that counts wrongly', async (t) => {
  const { dir, options, header, images } = await dataset(t, [1, 2, 3, 4])
  const manifests: [unknown[], RegExp][] = [
    [[], /no header/],
    [[{ hash: 'x' }, ...images], /no header/],
    [[header, ...images.slice(1)], /./],
    [[header, { ...images[0], label: 2 }, ...images.slice(1)], /received the line/],
    [[{ ...header, counts: { train: 3, validation: 1, test: 0 } }, ...images], /it counts/]
  ]
  for (const [lines, reason] of manifests) {
    await writeManifest(options.manifest, lines)
    await assert.rejects(buildPack(options), reason)
  }
  assert.deepEqual(await readdir(join(dir, 'packs')), [])
})
