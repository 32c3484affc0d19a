import assert from 'node:assert/strict'
import { test } from 'node:test'
import { describeBytes, sniffImage } from '../../../src/image/sniff.ts'

const bytes = (text: string) => Buffer.from(text, 'latin1')

const cases: readonly (readonly [string, Buffer, string | null, string])[] = [
  ['JPEG', bytes('\xff\xd8\xff\xe0'), 'jpeg', 'a JPEG image'],
  ['PNG', bytes('\x89PNG\r\n\x1a\n'), 'png', 'a PNG image'],
  ['WebP', bytes('RIFF\0\0\0\0WEBPVP8 '), 'webp', 'a WebP image'],
  ['GIF', bytes('GIF89a'), 'gif', 'a GIF image'],
  [
    'a RIFF that is no WebP',
    bytes('RIFF\0\0\0\0WAVE'),
    null,
    'unknown data (first bytes 52 49 46 46)'
  ],
  ['TIFF', bytes('II*\0\b\0\0\0'), null, 'a TIFF image'],
  ['BMP', bytes('BM\0\0'), null, 'a BMP image'],
  ['SVG', bytes('<?xml version="1.0"?><svg width="1">'), null, 'an SVG image'],
  ['AVIF', bytes('\0\0\0\x1cftypavif'), null, 'a HEIF or AVIF image'],
  ['zip', bytes('PK\x03\x04'), null, 'a zip archive'],
  ['text', bytes('hello\n'), null, 'text'],
  ['nothing', bytes(''), null, 'an empty file']
]

for (const [name, data, format, description] of cases) {
  test(`sniffImage() and describeBytes() know ${name} by its bytes`, () => {
    assert.equal(sniffImage(data), format)
    assert.equal(describeBytes(data), description)
  })
}
