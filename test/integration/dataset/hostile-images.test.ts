/** Files that are no images, or broken ones, each beside two good images that must stay. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import sharp from 'sharp'
import type { ErrorCode } from '../../../src/errors.ts'
import { Random, randomKey } from '../../../src/tensor/random.ts'
import { cutOff, zipOf } from '../../support/archives.ts'
import { flatImage } from '../../support/images.ts'
import { type ImportCase, importArchive, testImports, twoClasses } from '../../support/imports.ts'
import { gifOf, jpegOf, pngChunk, pngOf, pngPixels } from '../../support/odd-images.ts'

type Bytes = () => Promise<Uint8Array> | Uint8Array

/** `bytes` as one more file of `cat`, that is to be left out with `code`. */
const refused = (name: string, code: ErrorCode, bytes: Bytes): ImportCase => ({
  name,
  archive: async () =>
    zipOf([...(await twoClasses()), { name: 'cat/x.png', bytes: await bytes() }]),
  faults: { 'cat/x.png': code }
})
const text = (content: string) => () => Buffer.from(content, 'latin1')
const noisy = () =>
  sharp({
    create: {
      width: 64,
      height: 64,
      channels: 3,
      background: 'black',
      noise: { type: 'gaussian', mean: 128, sigma: 40 }
    }
  })
/** A PNG of four grey pixels, unless the arguments say otherwise. */
const small = (...chunks: Buffer[]) => pngOf({ width: 2, height: 2 }, ...chunks)
const fourPixels = pngPixels(Buffer.from([0, 10, 20, 0, 30, 40]))

/** From byte `40 + i` on, half of the bytes are others. */
function garbled(image: Uint8Array, i: number): Uint8Array {
  const random = new Random(randomKey(7, 'garbled', i))
  return image.map((byte, at) => (at > 40 + i && random.between(0, 2) < 1 ? 255 - byte : byte))
}

const foreign = 'IMAGE_FORMAT_UNSUPPORTED'
const unreadable = 'IMAGE_UNREADABLE'
const truncated = 'IMAGE_TRUNCATED'
const tooLarge = 'IMAGE_TOO_LARGE'

const svg =
  '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'

testImports([
  refused('a text', foreign, text('this is no image\n')),
  refused('an empty file', foreign, text('')),
  refused('a single byte', foreign, text('\x89')),
  refused('a signature without more', truncated, () =>
    pngOf({ width: 1, height: 1 }).subarray(0, 8)
  ),
  refused('a TIFF', foreign, () => noisy().tiff().toBuffer()),
  refused('an SVG that names a file', foreign, text(svg)),
  refused('a BMP', foreign, text('BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0')),
  refused('a HEIC', foreign, text('\0\0\0\x18ftypheic\0\0\0\0heicmif1')),
  refused('an AVIF', foreign, () => noisy().avif({ effort: 0 }).toBuffer()),
  refused('an MVG script', foreign, text('push graphic-context\nfill url(https://localhost/)')),
  refused('a PostScript', foreign, text('%!PS-Adobe-3.0\n(/etc/passwd) (r) file')),

  refused('a JPEG that is cut off', truncated, async () => cutOff(await noisy().jpeg().toBuffer())),
  refused('a PNG that is cut off', truncated, async () => cutOff(await noisy().png().toBuffer())),
  refused('a WebP that is cut off', truncated, async () => cutOff(await noisy().webp().toBuffer())),
  refused('a GIF that is cut off', truncated, async () => cutOff(await noisy().gif().toBuffer())),
  refused('a PNG chunk with a wrong CRC', unreadable, async () => {
    const png = await noisy().png().toBuffer()
    const at = png.indexOf('IDAT') + 400
    png[at] = (png[at] ?? 0) ^ 0xff
    return png
  }),
  refused('a JPEG damaged in its tables', unreadable, async () => {
    const jpeg = await noisy().jpeg().toBuffer()
    return jpeg.fill(0xfe, jpeg.indexOf('ffc4', 'hex') + 4, jpeg.indexOf('ffc4', 'hex') + 22)
  }),
  refused('a PNG of 0x0 pixels', unreadable, () => pngOf({ width: 0, height: 0 }, fourPixels)),
  refused('a PNG of unknown colour type', unreadable, () =>
    pngOf({ width: 2, height: 2, colour: 5 }, fourPixels)
  ),
  refused('a PNG without pixels', unreadable, () => small()),
  refused('a PNG with too few pixels', unreadable, () =>
    pngOf({ width: 90, height: 90 }, fourPixels)
  ),
  refused('a palette PNG without a palette', unreadable, () =>
    pngOf({ width: 2, height: 2, colour: 3 }, fourPixels)
  ),
  refused('a PNG with an unknown critical chunk', unreadable, () =>
    small(pngChunk('EVIL'), fourPixels)
  ),
  refused('a GIF that ends after its header', truncated, () => gifOf(9, 9).subarray(0, 13)),
  refused('a GIF header before garbage', unreadable, () =>
    Buffer.concat([gifOf(9, 9).subarray(0, 13), Buffer.alloc(500, 0x7b)])
  ),
  refused('a JPEG header before garbage', truncated, () =>
    Buffer.concat([Buffer.from('ffd8ffe0', 'hex'), Buffer.alloc(500, 0x7b)])
  ),
  refused('a RIFF that is no WebP', foreign, text('RIFF\x24\0\0\0WAVEfmt ')),
  refused('a WebP without a picture', unreadable, text('RIFF\x04\0\0\0WEBP')),

  refused('a PNG that claims 60000x60000', tooLarge, () =>
    pngOf({ width: 60_000, height: 60_000 }, fourPixels)
  ),
  refused('a PNG that claims 2^31-1 columns', unreadable, () =>
    pngOf({ width: 2 ** 31 - 1, height: 1 }, fourPixels)
  ),
  refused('a thin PNG', tooLarge, () => pngOf({ width: 70_000, height: 2 }, fourPixels)),
  refused('a JPEG that claims 65500x65500', tooLarge, () => jpegOf(65_500, 65_500)),
  refused('a GIF that claims 65535x65535', tooLarge, () => gifOf(65_535, 65_535)),
  {
    name: 'a dataset in which every image is broken',
    archive: async () =>
      zipOf([{ name: 'cat/1.png', bytes: cutOff(await flatImage(40)) }, { name: 'dog/1.png' }]),
    error: 'DATASET_EMPTY',
    faults: { 'cat/1.png': truncated, 'dog/1.png': foreign }
  },
  {
    name: 'one broken image when strict was asked for',
    archive: async () => zipOf([...(await twoClasses()), { name: 'cat/x.png' }]),
    strict: true,
    error: 'DATASET_FAULTY',
    faults: { 'cat/x.png': foreign }
  },
  {
    name: 'no broken image when strict was asked for',
    archive: async () => zipOf(await twoClasses()),
    strict: true
  }
])

test('garbage behind good headers gives faults of images and no worse', async () => {
  const good = [await noisy().png().toBuffer(), await noisy().jpeg().toBuffer()]
  const bad = good.flatMap((image) => Array.from({ length: 20 }, (_, i) => garbled(image, i)))
  const members = bad.map((bytes, i) => ({ name: `cat/${i}.png`, bytes }))
  const { report } = await importArchive({
    archive: async () => zipOf([...(await twoClasses()), ...members])
  })
  assert.ok(report !== null)
  assert.equal(report.read, 42)
  assert.equal(report.kept + report.skipped, 42)
  assert.ok(report.skipped >= 20, `${report.skipped}`)
  for (const { code } of report.faults) assert.match(code, /^IMAGE_(UNREADABLE|TRUNCATED)$/)
})
