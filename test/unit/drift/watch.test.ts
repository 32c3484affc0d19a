import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Seen, Sketch } from '../../../src/contract/sketch.ts'
import { addImage, emptySketch } from '../../../src/drift/sketch.ts'
import { type Change, judge, usableReference, Watch } from '../../../src/drift/watch.ts'

const labels = ['dark', 'bright']
const now = new Date('2026-01-01T00:00:00Z')

/** The i-th of images that are bright with share `bright` / 10, evenly. */
function image(i: number, bright: number): Seen {
  const isBright = (i * bright) % 10 < bright
  const spread = (i * 7) % 40
  return {
    predicted: isBright ? 1 : 0,
    score: 0.9 + ((i * 3) % 10) / 101,
    brightness: 100 + spread,
    contrast: 20 + spread / 2,
    channels: [],
    sha256: null
  }
}

function reference(images: number, bright = 5): Sketch {
  const sketch = emptySketch(2, 1)
  for (let i = 0; i < images; i += 1) addImage(sketch, image(i, bright))
  return sketch
}

function feed(watch: Watch, images: number, bright: number): Change[] {
  return Array.from({ length: images }, (_, i) => watch.add(image(i, bright), now)).flat()
}

const names = (changes: readonly Change[]): string[] =>
  changes.map(({ aspect, event }) => `${aspect} ${event}`)

describe('Watch', () => {
  const options = { labels, channels: 1, window: 400 }
  it('judges nothing before there are enough images', () => {
    const watch = new Watch({ ...options, reference: reference(500) }, null, now)
    assert.deepEqual(feed(watch, 199, 10), [])
    assert.deepEqual(watch.look(now), [])
    const { images, comparisons } = judge(watch.state, { reference: reference(500), labels })
    assert.deepEqual([images, comparisons], [199, []])
    assert.deepEqual(names(feed(watch, 1, 10)), ['classes tripped'])
  })
  it('trips once, stays so, and clears when the images come back', () => {
    const watch = new Watch({ ...options, reference: reference(500) }, null, now)
    assert.deepEqual(feed(watch, 2000, 5), [])
    assert.deepEqual(names(feed(watch, 1000, 9)), ['classes tripped'])
    assert.equal(watch.state.drifting.classes, now.toISOString())
    assert.deepEqual(names(feed(watch, 1000, 5)), ['classes cleared'])
    assert.deepEqual(watch.state.drifting, {})
  })
  it('does not clear just below its threshold', () => {
    const watch = new Watch({ ...options, reference: reference(500) }, null, now)
    feed(watch, 400, 9)
    // An index of 0.17, with bright images at 7 of 10: below 0.2 and above half of it.
    assert.deepEqual(feed(watch, 4000, 7), [])
    assert.ok(watch.state.drifting.classes)
    const fresh = new Watch({ ...options, reference: reference(500) }, null, now)
    assert.deepEqual(feed(fresh, 4000, 7), [])
    assert.deepEqual(fresh.state.drifting, {})
  })
  it('takes the first images as reference where there is none', () => {
    const watch = new Watch({ ...options, reference: null }, null, now)
    assert.deepEqual(feed(watch, 1000, 9), [])
    assert.equal(watch.state.baseline?.images, 1000)
    assert.deepEqual(feed(watch, 1000, 9), [])
    assert.deepEqual(names(feed(watch, 400, 3)), ['classes tripped'])
    const { source, complete } = judge(watch.state, { reference: null, labels })
    assert.deepEqual([source, complete], ['first-served', true])
  })
  it('goes on where its state was kept', () => {
    const own = { ...options, reference: reference(500) }
    const [whole, first] = [new Watch(own, null, now), new Watch(own, null, now)]
    const expected = [...feed(whole, 130, 9), ...feed(whole, 130, 9)]
    feed(first, 130, 9)
    const kept = JSON.parse(JSON.stringify(first.state))
    assert.deepEqual(feed(new Watch(own, kept, now), 130, 9), expected)
    assert.notDeepEqual(expected, [])
  })
  it('begins anew with a state that does not fit its reference', () => {
    const kept = new Watch({ ...options, reference: null }, null, now)
    feed(kept, 10, 5)
    const watch = new Watch({ ...options, reference: reference(500) }, kept.state, now)
    assert.equal(watch.state.served, 0)
    assert.equal(watch.state.baseline, null)
  })
})

describe('usableReference()', () => {
  it('refuses one of too few images', () => {
    assert.equal(usableReference(reference(99)), null)
    assert.equal(usableReference(reference(100))?.images, 100)
    assert.equal(usableReference(null), null)
  })
})
