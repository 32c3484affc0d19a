import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pixelFacts } from '../../../src/image/pixel-facts.ts'

const near = (actual: number, expected: number, within = 1e-9): void =>
  assert.ok(Math.abs(actual - expected) <= within, `${actual} is not ${expected}`)

test('pixelFacts() of grey pixels is their mean and deviation', () => {
  const { brightness, contrast, channels } = pixelFacts(Uint8Array.of(0, 100, 200, 100), 1)
  near(brightness, 100)
  near(contrast, Math.sqrt(5000))
  assert.deepEqual(channels, [])
})

test('pixelFacts() of colour tells the channels apart, and colour from contrast', () => {
  const flat = pixelFacts(Uint8Array.of(255, 0, 0, 255, 0, 0), 3)
  assert.deepEqual(flat, { brightness: 85, contrast: 0, channels: [255, 0, 0] })
  const { contrast, channels } = pixelFacts(Uint8Array.of(0, 0, 0, 90, 60, 30), 3)
  near(contrast, 30)
  assert.deepEqual(channels, [45, 30, 15])
})

test('pixelFacts() of a large image looks at some of its pixels and comes near the whole', () => {
  const side = 256
  const ramp = (channels: 1 | 3) =>
    Uint8Array.from({ length: side * side * channels }, (_, i) => Math.floor(i / channels) % side)
  for (const channels of [1, 3] as const) {
    const { brightness, contrast } = pixelFacts(ramp(channels), channels)
    near(brightness, 127.5, 1)
    near(contrast, Math.sqrt((side ** 2 - 1) / 12), 1)
  }
})
