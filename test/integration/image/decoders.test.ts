/** The quick decoders beside libvips: the same pixels, or none at all. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import sharp, { type Sharp } from 'sharp'
import { readJpeg } from '../../../src/image/jpeg.ts'
import { readPng } from '../../../src/image/png.ts'
import { luma, onWhite, type Raster } from '../../../src/image/raster.ts'
import { pngChunk, pngOf, pngPixels } from '../../support/odd-images.ts'

const width = 61
const height = 47

/** Waves with some noise above, uint8 [height, width, channels]. */
function picture(channels: 1 | 2 | 3 | 4): Sharp {
  const raw = Uint8Array.from({ length: width * height * channels }, (_, i) => {
    const [c, x, y] = [
      i % channels,
      Math.floor(i / channels) % width,
      Math.floor(i / channels / width)
    ]
    return 128 + 90 * Math.sin(x / 9 + c) * Math.cos(y / 7) + ((i * 7919) % 23)
  })
  return sharp(raw, { raw: { width, height, channels } })
}

const decoded = (bytes: Buffer) => sharp(bytes).raw().toBuffer()
const copy = (raster: Raster | null) => raster && Uint8Array.from(raster.pixels)

for (const channels of [1, 2, 3, 4] as const) {
  for (const adaptiveFiltering of [false, true]) {
    const form = `${channels} samples a pixel, ${adaptiveFiltering ? 'every' : 'no'} filter`
    test(`readPng() gives libvips' pixels: ${form}`, async () => {
      const colours = channels < 3 ? picture(channels).toColourspace('b-w') : picture(channels)
      const bytes = await colours.png({ adaptiveFiltering, compressionLevel: 9 }).toBuffer()
      const rgba = await sharp(bytes).ensureAlpha().raw().toBuffer()
      assert.equal(rgba.length, width * height * 4)
      const expected = (out: 1 | 3) =>
        Uint8Array.from({ length: width * height * out }, (_, i) => {
          const [r = 0, g = 0, b = 0, alpha = 0] = rgba.subarray(Math.floor(i / out) * 4)
          const [red, green, blue] = [onWhite(r, alpha), onWhite(g, alpha), onWhite(b, alpha)]
          return out === 1 ? luma(red, green, blue) : ([red, green, blue][i % 3] ?? 0)
        })
      for (const out of [1, 3] as const) assert.deepEqual(copy(readPng(bytes, out)), expected(out))
    })
  }
}

for (const options of [{}, { progressive: true }, { chromaSubsampling: '4:4:4' }]) {
  test(`readJpeg() gives libvips' pixels but for rounding: ${JSON.stringify(options)}`, async () => {
    const bytes = await picture(3).jpeg(options).toBuffer()
    const [read, expected] = [copy(readJpeg(bytes, 3)), await decoded(bytes)]
    assert.equal(read?.length, expected.length)
    const worst = Math.max(...expected.map((value, i) => Math.abs(value - (read?.[i] ?? 999))))
    assert.ok(worst <= 8, `differs by ${worst}`)
  })
}

test('readJpeg() gives the luma of a colour file, as the pixels have it', async () => {
  const bytes = await picture(3).jpeg({ chromaSubsampling: '4:4:4', quality: 100 }).toBuffer()
  const [grey, rgb] = [copy(readJpeg(bytes, 1)), copy(readJpeg(bytes, 3))]
  assert.equal(grey?.length, width * height)
  grey.forEach((value, i) => {
    const [r = 0, g = 0, b = 0] = rgb?.subarray(i * 3, i * 3 + 3) ?? []
    assert.ok(Math.abs(value - luma(r, g, b)) <= 2)
  })
})

const others: Record<string, () => Promise<Buffer>> = {
  'a JPEG that lies on its side': () =>
    picture(3).withMetadata({ orientation: 6 }).jpeg().toBuffer(),
  'a JPEG with a colour profile': () => picture(3).withIccProfile('p3').jpeg().toBuffer(),
  'a CMYK JPEG': () => picture(3).toColourspace('cmyk').jpeg().toBuffer(),
  'a JPEG that is cut off': async () => (await picture(3).jpeg().toBuffer()).subarray(0, -200),
  'a JPEG of 4 megapixels': () => picture(3).resize(2000, 2000).jpeg().toBuffer(),
  'a JPEG that ends within a segment': async () =>
    (await picture(3).jpeg().toBuffer()).subarray(0, 30)
}
for (const [name, make] of Object.entries(others)) {
  test(`readJpeg() leaves to libvips: ${name}`, async () => {
    assert.equal(readJpeg(await make(), 3), null)
  })
}

test('readJpeg() takes a file whose EXIF data says that it is upright', async () => {
  const bytes = await picture(3)
    .withExif({ IFD0: { Artist: 'nobody' } })
    .jpeg()
    .toBuffer()
  assert.ok(bytes.includes('Exif'))
  assert.ok(readJpeg(bytes, 3))
})

const four = pngPixels(Buffer.from([0, 10, 20, 0, 30, 40]))
const small = (...chunks: Buffer[]) => pngOf({ width: 2, height: 2 }, ...chunks)
const wrong: Record<string, () => Promise<Buffer> | Buffer> = {
  'a palette': () => picture(3).png({ palette: true }).toBuffer(),
  'interlaced rows': () => picture(3).png({ progressive: true }).toBuffer(),
  '16 bits': () => picture(3).toColourspace('rgb16').png().toBuffer(),
  'a colour profile': () => picture(3).withIccProfile('p3').png().toBuffer(),
  'a transparent colour': () => small(pngChunk('tRNS', Buffer.from([0, 10])), four),
  'a critical chunk that nobody knows': () => small(pngChunk('EVIL'), four),
  'too few pixels': () => pngOf({ width: 2, height: 3 }, four),
  'too many pixels': () => pngOf({ width: 2, height: 1 }, four),
  'a filter that does not exist': () => small(pngPixels(Buffer.from([5, 10, 20, 0, 30, 40]))),
  'no pixels': () => small(),
  'no end': () => small(four).subarray(0, -12),
  'a damaged chunk': () => {
    const bytes = small(four)
    bytes[45] = (bytes[45] ?? 0) ^ 1
    return bytes
  },
  'sides of a billion': () => pngOf({ width: 2 ** 30, height: 2 ** 30 }, four)
}
for (const [name, make] of Object.entries(wrong)) {
  test(`readPng() leaves to libvips: ${name}`, async () => {
    assert.equal(readPng(await make(), 3), null)
  })
}

test('readPng() inflates no more than the header promises', () => {
  const bomb = pngOf({ width: 2, height: 2 }, pngPixels(Buffer.alloc(50_000_000)))
  assert.equal(readPng(bomb, 3), null)
})
