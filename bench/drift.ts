/**
 * Drift: how often chance trips it, what shift it sees, and what counting costs. About half a minute:
 *
 *   node bench/drift.ts [looks=1000]
 *
 * Made-up images of independent draws: skewed classes, scores near 1, normal brightness and colours.
 */
import type { Seen, Sketch } from '../src/contract/sketch.ts'
import { compare } from '../src/drift/compare.ts'
import { addImage, emptySketch } from '../src/drift/sketch.ts'
import { Watch } from '../src/drift/watch.ts'
import { pixelFacts } from '../src/image/pixel-facts.ts'
import { Random, randomKey } from '../src/tensor/random.ts'

const [looks = 1000] = process.argv.slice(2).map(Number)
const random = new Random(randomKey(7, 'drift'))
const normal = (): number =>
  Math.sqrt(-2 * Math.log(1 - random.uniform())) * Math.cos(2 * Math.PI * random.uniform())

function draw(classes: number, shift = 0): Seen {
  return {
    predicted: Math.floor(random.uniform() ** 1.3 * classes),
    score: 1 - Math.min(0.9, Math.exp(-6 + 2 * normal())),
    brightness: 110 + 25 * (shift + normal()),
    contrast: 50 + 12 * normal(),
    channels: [110, 100, 90].map((mean) => mean + 30 * normal()),
    sha256: null
  }
}

function sample(n: number, classes: number): Sketch {
  const sketch = emptySketch(classes, 3)
  for (let i = 0; i < n; i += 1) addImage(sketch, draw(classes))
  return sketch
}

const labels = (classes: number): string[] => Array.from({ length: classes }, (_, i) => String(i))

console.log('looks at independent samples of one distribution that trip any of seven aspects')
for (const classes of [10, 100, 1000]) {
  for (const m of [100, 300, 1000]) {
    const shares = [200, 500, 1000].map((n) => {
      let wrong = 0
      for (let i = 0; i < looks; i += 1) {
        const compared = compare(sample(m, classes), sample(n, classes), labels(classes))
        if (compared.some(({ score, threshold }) => score > threshold)) wrong += 1
      }
      return `${n} served: ${((100 * wrong) / looks).toFixed(2)} %`
    })
    console.log(`  ${classes} classes, reference ${m}: ${shares.join(', ')}`)
  }
}

/** Events in `images` images that are brighter by `shift` deviations, looked at every 50. */
function run(m: number, images: number, shift: number): { trips: number; clears: number } {
  const options = { labels: labels(10), channels: 3, reference: sample(m, 10), window: 1000 }
  const now = new Date()
  const watch = new Watch(options, null, now)
  let trips = 0
  let clears = 0
  for (let i = 1; i <= images; i += 1) {
    const changes = [...watch.add(draw(10, shift), now), ...(i % 50 === 0 ? watch.look(now) : [])]
    trips += changes.filter(({ event }) => event === 'tripped').length
    clears += changes.filter(({ event }) => event === 'cleared').length
  }
  return { trips, clears }
}

console.log(
  'watches of 10,000 images each, reference 100 | 300 | 1000, brighter by so many deviations'
)
for (const shift of [0, 0.2, 0.4, 0.6, 1]) {
  const figures = [100, 300, 1000].map((m) => {
    const runs = Array.from({ length: 20 }, () => run(m, 10_000, shift))
    const tripped = runs.filter(({ trips }) => trips > 0).length
    const again = runs.reduce((sum, { trips }) => sum + Math.max(0, trips - 1), 0)
    return `${tripped} of 20 tripped, ${again} times again`
  })
  console.log(`  ${shift}: ${figures.join(' | ')}`)
}

console.log('time for an image')
function time(name: string, work: () => unknown): void {
  for (let i = 0; i < 20_000; i += 1) work()
  const began = performance.now()
  for (let i = 0; i < 20_000; i += 1) work()
  console.log(`  ${name}: ${((1000 * (performance.now() - began)) / 20_000).toFixed(2)} µs`)
}
for (const [size, channels] of [
  [28, 1],
  [32, 3],
  [224, 3]
] as const) {
  const pixels = Uint8Array.from({ length: size * size * channels }, (_, i) => (i * 37) % 256)
  time(`engine, ${size}x${size}x${channels}`, () => pixelFacts(pixels, channels))
}
const seen = draw(10)
const reference = sample(1000, 10)
const watch = new Watch(
  { labels: labels(10), channels: 3, reference, window: 1000 },
  null,
  new Date()
)
time('api, with a look every 500', () => watch.add(seen, new Date()))
