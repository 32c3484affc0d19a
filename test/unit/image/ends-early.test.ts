import assert from 'node:assert/strict'
import { test } from 'node:test'
import sharp from 'sharp'
import { endsEarly } from '../../../src/image/ends-early.ts'
import { imageFormats } from '../../../src/image/sniff.ts'
import { gifOf } from '../../support/odd-images.ts'

const noise = { type: 'gaussian', mean: 128, sigma: 60 } as const
const image = () =>
  sharp({ create: { width: 40, height: 30, channels: 3, background: 'red', noise } })

for (const format of imageFormats) {
  test(`endsEarly() tells every cut of a whole ${format} from the whole`, async () => {
    const whole = await image().toFormat(format).toBuffer()
    assert.equal(endsEarly(whole, format), false)
    for (let length = 4; length < whole.length; length += 1) {
      assert.equal(endsEarly(whole.subarray(0, length), format), true, `${length} bytes`)
    }
  })
}

test('endsEarly() sees through restart markers and several scans', async () => {
  const progressive = await image().jpeg({ progressive: true }).toBuffer()
  assert.equal(endsEarly(progressive, 'jpeg'), false)
  assert.equal(endsEarly(progressive.subarray(0, -2), 'jpeg'), true)
})

test('endsEarly() calls garbage damaged, not short', () => {
  const garbage = Buffer.alloc(500, 0x7b)
  const gif = Buffer.concat([gifOf(9, 9).subarray(0, 13), garbage])
  assert.equal(endsEarly(gif, 'gif'), false)
  assert.equal(
    endsEarly(Buffer.concat([Buffer.from('ffd8fffe0004aaaa', 'hex'), garbage]), 'jpeg'),
    false
  )
})
