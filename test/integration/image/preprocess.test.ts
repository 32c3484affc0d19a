/** Real decoding of real bytes: every pixel form that may come in, every way of being broken. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import sharp from 'sharp'
import { ServiceError } from '../../../src/errors.ts'
import { inspect } from '../../../src/image/inspect.ts'
import { type InputShape, preprocess } from '../../../src/image/preprocess.ts'

const rgb = (width: number, height: number, background: string) =>
  sharp({ create: { width, height, channels: 3, background } })
const shape: InputShape = { size: 8, channels: 3, resize: 'stretch' }

/** Left half one colour, right half another: shows orientation and cropping. */
const halves = (left: string, right: string, width = 40, height = 20) =>
  rgb(width, height, left).composite([
    {
      input: { create: { width: width / 2, height, channels: 3, background: right } },
      left: width / 2,
      top: 0
    }
  ])
const pixel = (data: Uint8Array, x: number, y: number, size = 8) => [
  ...data.subarray((y * size + x) * 3, (y * size + x) * 3 + 3)
]
const near = (actual: readonly number[], expected: readonly number[], tolerance = 3) =>
  assert.ok(
    actual.every((value, i) => Math.abs(value - (expected[i] ?? Number.NaN)) <= tolerance),
    `${actual} is not near ${expected}`
  )

test('preprocess() gives the same pixels for the same picture in every lossless form', async () => {
  const picture = rgb(16, 16, '#4080c0')
  const forms = {
    png: await picture.clone().png().toBuffer(),
    palette: await picture.clone().png({ palette: true }).toBuffer(),
    interlaced: await picture.clone().png({ progressive: true }).toBuffer(),
    sixteenBit: await picture.clone().toColourspace('rgb16').png().toBuffer(),
    webp: await picture.clone().webp({ lossless: true }).toBuffer(),
    gif: await picture.clone().gif().toBuffer()
  }
  for (const [name, bytes] of Object.entries(forms)) {
    const data = await preprocess(bytes, shape)
    assert.equal(data.length, 8 * 8 * 3, name)
    near(pixel(data, 3, 3), [0x40, 0x80, 0xc0], 1)
  }
})

test('preprocess() turns CMYK and 16-bit grey into 8-bit sRGB', async () => {
  const cmyk = await halves('#ffffff', '#ff0000').toColourspace('cmyk').jpeg().toBuffer()
  assert.equal((await sharp(cmyk).metadata()).space, 'cmyk')
  const converted = await preprocess(cmyk, shape)
  near(pixel(converted, 0, 4), [255, 255, 255], 8)
  near(pixel(converted, 7, 4), [235, 30, 30], 35)
  const grey16 = await rgb(16, 16, '#646464').toColourspace('grey16').png().toBuffer()
  assert.equal((await sharp(grey16).metadata()).depth, 'ushort')
  near(pixel(await preprocess(grey16, shape), 4, 4), [0x64, 0x64, 0x64])
  const one = await preprocess(grey16, { ...shape, channels: 1 })
  assert.equal(one.length, 64)
  near([...one.subarray(0, 1)], [0x64])
})

test('preprocess() flattens alpha on white, in RGBA, palette and grey files', async () => {
  const clear = sharp({
    create: { width: 16, height: 16, channels: 4, background: { r: 255, g: 0, b: 0, alpha: 0 } }
  })
  for (const bytes of [
    await clear.clone().png().toBuffer(),
    await clear.clone().png({ palette: true }).toBuffer(),
    await clear.clone().webp({ lossless: true }).toBuffer(),
    await clear.clone().toColourspace('b-w').png().toBuffer()
  ]) {
    near(pixel(await preprocess(bytes, shape), 4, 4), [255, 255, 255], 1)
  }
})

test('preprocess() applies EXIF orientation before it resizes', async () => {
  // Orientation 6: turn by 90 degrees clockwise, so the left half comes to lie at the top.
  const turned = await halves('#ff0000', '#0000ff')
    .withMetadata({ orientation: 6 })
    .jpeg({ quality: 95 })
    .toBuffer()
  assert.equal((await sharp(turned).metadata()).orientation, 6)
  const data = await preprocess(turned, shape)
  near(pixel(data, 4, 0), [255, 0, 0], 12)
  near(pixel(data, 4, 7), [0, 0, 255], 12)
  const facts = await inspect(turned)
  assert.deepEqual([facts.width, facts.height], [20, 40])
})

test('preprocess() stretches, covers or contains as asked', async () => {
  const wide = await halves('#ff0000', '#0000ff', 64, 16).png().toBuffer()
  const contain = await preprocess(wide, { ...shape, resize: 'contain' })
  near(pixel(contain, 4, 0), [0, 0, 0])
  near(pixel(contain, 0, 4), [255, 0, 0])
  near(pixel(contain, 7, 4), [0, 0, 255])
  const cover = await preprocess(wide, { ...shape, resize: 'cover' })
  near(pixel(cover, 0, 0), [255, 0, 0])
  near(pixel(cover, 7, 7), [0, 0, 255])
  const stretch = await preprocess(wide, shape)
  near(pixel(stretch, 0, 0), [255, 0, 0])
})

test('preprocess() takes the first frame of an animated GIF', async () => {
  const frames = Buffer.concat([Buffer.alloc(8 * 8 * 3, 10), Buffer.alloc(8 * 8 * 3, 250)])
  const animated = await sharp(frames, {
    raw: { width: 8, height: 16, channels: 3, pageHeight: 8 }
  })
    .gif({ delay: [10, 10] })
    .toBuffer()
  assert.equal((await sharp(animated).metadata()).pages, 2)
  near(pixel(await preprocess(animated, shape), 4, 4), [10, 10, 10])
  assert.equal((await inspect(animated)).height, 8)
})

test('preprocess() is a function: the same bytes give the same pixels, side by side or alone', async () => {
  const bytes = await halves('#12ab9f', '#fe0133', 300, 200).jpeg().toBuffer()
  const all = await Promise.all(Array.from({ length: 8 }, () => preprocess(bytes, shape)))
  for (const data of all) assert.deepEqual(data, all[0])
})

test('inspect() calls an RGB file without colour grey, and a coloured one not', async () => {
  assert.equal((await inspect(await rgb(30, 20, '#777777').png().toBuffer())).grey, true)
  assert.equal((await inspect(await rgb(30, 20, '#777777').jpeg().toBuffer())).grey, true)
  assert.equal((await inspect(await rgb(30, 20, '#777700').png().toBuffer())).grey, false)
  assert.deepEqual(await inspect(await rgb(30, 20, '#123456').webp().toBuffer()), {
    format: 'webp',
    width: 30,
    height: 20,
    grey: false
  })
})

const noisy = (width: number, height: number) => {
  const raw = Buffer.alloc(width * height * 3)
  for (let i = 0; i < raw.length; i++) raw[i] = (i * 7919 + ((i * i) >> 3)) & 255
  return sharp(raw, { raw: { width, height, channels: 3 } })
}
const cut = (bytes: Buffer, share = 0.6) => bytes.subarray(0, Math.floor(bytes.length * share))
/** A PNG header that claims sides which no pixel data follows. */
async function pngClaiming(width: number, height: number) {
  const bytes = await rgb(4, 4, '#fff').png().toBuffer()
  bytes.writeUInt32BE(width, 16)
  bytes.writeUInt32BE(height, 20)
  const { crc32 } = await import('node:zlib')
  bytes.writeUInt32BE(crc32(bytes.subarray(12, 29)), 29)
  return bytes
}

const broken: readonly (readonly [string, () => Promise<Uint8Array>, string, RegExp])[] = [
  ['an empty file', async () => Buffer.alloc(0), 'IMAGE_FORMAT_UNSUPPORTED', /empty file/],
  ['text', async () => Buffer.from('cat'), 'IMAGE_FORMAT_UNSUPPORTED', /received text/],
  ['a TIFF', () => rgb(4, 4, '#fff').tiff().toBuffer(), 'IMAGE_FORMAT_UNSUPPORTED', /TIFF/],
  ['an SVG', async () => Buffer.from('<svg></svg>'), 'IMAGE_FORMAT_UNSUPPORTED', /SVG/],
  ['a cut JPEG', async () => cut(await noisy(80, 60).jpeg().toBuffer()), 'IMAGE_TRUNCATED', /JPEG/],
  [
    'a cut progressive JPEG',
    async () => cut(await noisy(80, 60).jpeg({ progressive: true }).toBuffer()),
    'IMAGE_TRUNCATED',
    /JPEG/
  ],
  ['a cut PNG', async () => cut(await noisy(80, 60).png().toBuffer()), 'IMAGE_TRUNCATED', /PNG/],
  ['a cut WebP', async () => cut(await noisy(80, 60).webp().toBuffer()), 'IMAGE_TRUNCATED', /WebP/],
  ['a cut GIF', async () => cut(await noisy(80, 60).gif().toBuffer()), 'IMAGE_TRUNCATED', /GIF/],
  [
    'a PNG of 40000x40000',
    () => pngClaiming(40_000, 40_000),
    'IMAGE_TOO_LARGE',
    /40000x40000 = 1600000000/
  ],
  ['a PNG of 1x70000', () => pngClaiming(1, 70_000), 'IMAGE_TOO_LARGE', /1x70000/],
  [
    'a PNG with a damaged chunk',
    async () => {
      const bytes = await noisy(80, 60).png().toBuffer()
      bytes.fill(0xaa, 200, 260)
      return bytes
    },
    'IMAGE_UNREADABLE',
    /PNG/
  ],
  [
    'eight magic bytes',
    async () => Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    'IMAGE_TRUNCATED',
    /8 bytes/
  ]
]

for (const [name, make, code, detail] of broken) {
  test(`inspect() refuses ${name} as ${code}`, async () => {
    await assert.rejects(inspect(await make()), (error: ServiceError) => {
      assert.ok(error instanceof ServiceError, String(error))
      assert.equal(error.code, code)
      assert.match(error.detail, detail)
      return true
    })
  })
}
