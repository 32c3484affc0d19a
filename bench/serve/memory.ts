/**
 * What a loaded model costs, and whether all of it comes back: `node bench/serve/memory.ts [rounds=50]`.
 *
 * A model's cost is the proportional set size of its process above that of an engine process without one,
 * which has ONNX Runtime loaded. Each round loads the small model, asks it, and unloads it.
 */
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Engines } from '../../src/infer/engines.ts'
import { makeModels } from './models.ts'
import { thumbnails } from './pictures.ts'

const [rounds = 50] = process.argv.slice(2).map(Number)
const folder = await mkdtemp(join(tmpdir(), 'whittle-memory-'))
const { small } = await makeModels(folder)
const images = await thumbnails(64)
const engines = new Engines({ perModel: 1 })
const model = {
  key: 'small',
  serves: { model: 'small', version: 1, variant: 'int8' },
  path: small.path,
  input: small.input
}
const { signal } = new AbortController()

const mib = (pid: number): number => {
  const [, kib] = /^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')) ?? []
  return Number(kib) / 1024
}
const own = (): number => process.memoryUsage().rss / 2 ** 20
const children = (): number[] =>
  readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8')
    .split(' ')
    .filter((pid) => pid !== '')
    .map(Number)

async function cycle(): Promise<{ loaded: number; bare: number }> {
  await engines.load(model)
  for (const bytes of images) await engines.ask(model, [{ bytes, top: 5 }], { signal })
  await sleep(200)
  const [pid = 0] = engines.pids(model.key)
  const spare = children().find((child) => child !== pid) ?? 0
  const figures = { loaded: mib(pid), bare: mib(spare) }
  await engines.unload('small')
  return figures
}

const first = await cycle()
console.log(
  `loaded ${first.loaded.toFixed(1)} MiB, without a model ${first.bare.toFixed(1)} MiB: ` +
    `the model costs ${(first.loaded - first.bare).toFixed(1)} MiB`
)
for (let round = 1; round <= rounds; round++) {
  await cycle()
  if (round % 10 === 0) {
    const all = children()
    const theirs = all.reduce((sum, pid) => sum + mib(pid), 0)
    console.log(
      `${round} rounds: api ${own().toFixed(0)} MiB, ${all.length} engine process without a model ${theirs.toFixed(0)} MiB`
    )
  }
}
await engines.close()
await rm(folder, { recursive: true })
