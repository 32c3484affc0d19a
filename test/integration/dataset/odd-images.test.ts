/** Odd but good images: kept, with the facts and pixels that people see. */
import assert from 'node:assert/strict'
import sharp from 'sharp'
import type { ImportedImage } from '../../../src/contract/importer.ts'
import { preprocess } from '../../../src/image/preprocess.ts'
import { zipOf } from '../../support/archives.ts'
import { type ImportCase, testImports, twoClasses } from '../../support/imports.ts'

type Facts = Partial<Pick<ImportedImage, 'format' | 'width' | 'height' | 'grey'>>
type Colour = readonly [number, number, number]

interface Odd {
  readonly bytes: () => Promise<Buffer>
  readonly facts: Facts
  /** Colour of the image's upper left corner, within 12 levels. */
  readonly corner: Colour
  readonly file?: string
}

const [red, blue] = ['#e00000', '#0000e0']
const rgb = (width: number, height: number, background = red) =>
  sharp({ create: { width, height, channels: 3, background } })
/** Left half red, right half blue. */
const halves = () => {
  const input = { create: { width: 20, height: 20, channels: 3 as const, background: blue } }
  return rgb(40, 20).composite([{ input, left: 20, top: 0 }])
}
/** Two frames, red and blue, of 12x12 pixels. */
const animation = async () => {
  const frames = await Promise.all([red, blue].map((c) => rgb(12, 12, c).png().toBuffer()))
  return sharp(frames, { join: { animated: true } })
}

const oddImage = (name: string, { bytes, facts, corner, file = 'odd/x.png' }: Odd): ImportCase => ({
  name,
  archive: async () => zipOf([...(await twoClasses()), { name: file, bytes: await bytes() }]),
  kept: 3,
  also: async ({ images }) => {
    const odd = images.find(({ label }) => label === 'odd')
    assert.ok(odd !== undefined)
    assert.deepEqual({ ...odd, ...facts }, odd)
    const pixels = await preprocess(odd.content, { size: 8, channels: 3, resize: 'stretch' })
    const near = corner.every((level, i) => Math.abs(level - (pixels[i] ?? -99)) <= 12)
    assert.ok(near, `${pixels.subarray(0, 3)} is not near ${corner}`)
  }
})

const images: readonly ImportCase[] = [
  oddImage('PNG bytes under the name of a JPEG', {
    file: 'odd/x.jpg',
    bytes: () => rgb(9, 9).png().toBuffer(),
    facts: { format: 'png' },
    corner: [224, 0, 0]
  }),
  oddImage('an image whose name has no ending', {
    file: 'odd/x',
    bytes: () => rgb(9, 9).webp({ lossless: true }).toBuffer(),
    facts: { format: 'webp' },
    corner: [224, 0, 0]
  }),
  oddImage('the first frame of an animated GIF', {
    bytes: async () => (await animation()).gif().toBuffer(),
    facts: { format: 'gif', width: 12, height: 12, grey: false },
    corner: [224, 0, 0]
  }),
  oddImage('the first frame of an animated WebP', {
    bytes: async () => (await animation()).webp({ lossless: true }).toBuffer(),
    facts: { format: 'webp', width: 12, height: 12 },
    corner: [224, 0, 0]
  }),
  oddImage('a CMYK JPEG', {
    bytes: () => rgb(24, 24, '#ffffff').toColourspace('cmyk').jpeg().toBuffer(),
    facts: { format: 'jpeg', width: 24, height: 24 },
    corner: [255, 255, 255]
  }),
  oddImage('a 16-bit PNG', {
    bytes: () => rgb(9, 9).toColourspace('rgb16').png().toBuffer(),
    facts: { format: 'png', grey: false },
    corner: [224, 0, 0]
  }),
  oddImage('a JPEG that its EXIF turns by 90 degrees', {
    bytes: () => halves().withMetadata({ orientation: 8 }).jpeg({ quality: 95 }).toBuffer(),
    facts: { width: 20, height: 40 },
    // Anticlockwise: the right half comes to lie at the top.
    corner: [0, 0, 224]
  }),
  oddImage('a palette PNG with alpha', {
    bytes: () =>
      sharp({
        create: { width: 9, height: 9, channels: 4, background: { r: 0, g: 0, b: 0, alpha: 0 } }
      })
        .png({ palette: true })
        .toBuffer(),
    facts: { format: 'png', grey: true },
    corner: [255, 255, 255]
  }),
  oddImage('a single pixel', {
    bytes: () => rgb(1, 1).png().toBuffer(),
    facts: { width: 1, height: 1 },
    corner: [224, 0, 0]
  })
]

testImports(images)
