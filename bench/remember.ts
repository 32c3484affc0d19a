/**
 * What remembering predictions costs the api: an image remembered, 500 of them written, a row on the disk.
 *
 *   node bench/remember.ts [images=500000]
 */
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openCatalog } from '../src/catalog/open.ts'
import { publishVersion } from '../src/catalog/publish-version.ts'
import { quantile } from '../src/infer/summarize-times.ts'
import { PredictionMemory } from '../src/service/prediction-memory.ts'
import { publication } from '../test/support/publication.ts'

const [images = 500_000] = process.argv.slice(2).map(Number)
const folder = await mkdtemp(join(tmpdir(), 'whittle-bench-'))
try {
  const file = join(folder, 'catalog.sqlite')
  const db = await openCatalog(file)
  await publishVersion(db, publication('job_bench'))
  const memory = new PredictionMemory({ db, days: 7, images })
  const answering = { model: 'digits', version: 1, variant: 'int8', labels: ['a', 'b'] } as const
  const sha256 = 'f00d'.repeat(16)
  const seen = { predicted: 1, score: 0.987654, brightness: 1, contrast: 1, channels: [], sha256 }
  const [remembering, writing]: [number[], number[]] = [[], []]
  for (let written = 0; written < images; written += 500) {
    const began = performance.now()
    for (let i = 0; i < 500; i += 1) memory.remember(answering, [seen])
    const remembered = performance.now()
    await memory.store()
    remembering.push(remembered - began)
    writing.push(performance.now() - remembered)
  }
  const median = (times: number[]): number =>
    quantile(
      times.sort((a, b) => a - b),
      0.5
    )
  console.log(`an image remembered: ${((1000 * median(remembering)) / 500).toFixed(2)} µs`)
  const worst = quantile(
    writing.sort((a, b) => a - b),
    0.99
  )
  console.log(`500 written: ${median(writing).toFixed(1)} ms, p99 ${worst.toFixed(1)} ms`)
  await db.destroy()
  console.log(`a row: ${((await stat(file)).size / images).toFixed(0)} bytes`)
} finally {
  await rm(folder, { recursive: true })
}
