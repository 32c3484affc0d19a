/**
 * whittle's serving beside the plain loop and beside Python's model servers, on all cores of this machine.
 *
 *   node bench/serve/run.ts [--work jpeg] [--servers whittle,FastAPI] [--rounds 5] [--seconds 4]
 *
 * Works: jpeg, tensor, small-png, small-tensor. In every round the loop and each server take turns: started,
 * warmed up, asked by 1, 8, 32 and 128 clients, then at random times at 70 % of what it managed, ended.
 * Tables show medians over the rounds. Python's packages are installed into `.cache/bench` first.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { quantile } from '../../src/infer/summarize-times.ts'
import { machine } from '../../src/runtime/machine.ts'
import { compileLoad, type Figures, load } from './load.ts'
import { makeModels } from './models.ts'
import { writeRequests } from './requests.ts'
import { runRoof } from './roof.ts'
import { python, start } from './running-server.ts'
import { type Server, servers } from './servers.ts'
import { simulateQueue } from './simulated-queue.ts'
import { makeWorkload, type WorkloadName, workloadNames } from './workloads.ts'

const { values } = parseArgs({
  options: {
    work: { type: 'string', default: 'jpeg' },
    servers: { type: 'string', default: servers.map(({ name }) => name).join() },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '4' }
  }
})
const seconds = Number(values.seconds)
const cores = availableParallelism()
const cache = fileURLToPath(new URL('../../.cache/bench', import.meta.url))
const clientCounts = [1, 8, 32, 128]
const port = 18_900

interface Row {
  readonly at: Readonly<Record<string, Figures>>
  readonly readyMs: number
  readonly memory: number
  /** p99 of the simulated queue, in milliseconds. */
  readonly ideal: number
}

const name = workloadNames.find((known) => known === values.work)
if (!name)
  throw new Error(`--work must be one of ${workloadNames.join(', ')}, received ${values.work}`)
const chosen = values.servers.split(',').map(serverNamed)
mkdirSync(cache, { recursive: true })
const program = await compileLoad(cache)
const workload = await makeWorkload(name as WorkloadName, await makeModels(cache), cache)
const commands = new Map<Server, string>()
for (const server of chosen) {
  const command = server.packages === null ? process.execPath : await python(server, cache)
  commands.set(server, command)
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
const roofs: number[] = []
const rows = new Map<string, Row[]>()
for (let round = 0; round < Number(values.rounds); round++) {
  roofs.push(await roof())
  for (const server of chosen) {
    try {
      const row = await measure(server)
      rows.set(server.name, [...(rows.get(server.name) ?? []), row])
      console.log(`round ${round + 1}, ${server.name}: ${summary(row)}`)
    } catch (error) {
      console.log(`round ${round + 1}, ${server.name} is left out: ${(error as Error).message}`)
    }
  }
}
report()

function serverNamed(wanted: string): Server {
  const server = servers.find((known) => known.name === wanted)
  if (server) return server
  const names = servers.map((known) => known.name).join(', ')
  throw new Error(`--servers takes some of ${names}, received ${wanted}`)
}

/** The better of one process with all cores and of one process a core. */
async function roof(): Promise<number> {
  const apart = await runRoof(workload, { processes: cores, threads: 1, seconds })
  const together = await runRoof(workload, { processes: 1, threads: cores, seconds })
  return Math.max(apart.perSecond, together.perSecond)
}

async function measure(server: Server): Promise<Row> {
  const requests = join(cache, 'requests')
  await writeRequests(
    requests,
    workload.images.map((image) => server.request(image, workload))
  )
  const command = commands.get(server) ?? ''
  const running = await start(server, workload, { port, command, workers: cores })
  try {
    const common = { port, requests }
    await load(program, { ...common, seconds: 2, shape: { clients: 8 } })
    const at: Record<string, Figures> = {}
    for (const clients of clientCounts) {
      at[clients] = await load(program, { ...common, seconds, shape: { clients } })
    }
    const memory = await running.memory()
    const capacity = Math.max(...Object.values(at).map(({ perSecond }) => perSecond))
    const rate = 0.7 * capacity
    at.open = await load(program, { ...common, seconds: 2 * seconds, shape: { rate } })
    const alone = at[1]?.timesMs ?? []
    const queue = { serviceMs: alone, servers: cores, rate, arrivals: 50_000 }
    const ideal = quantile(simulateQueue(queue), 0.99)
    return { at, readyMs: running.readyMs, memory, ideal }
  } finally {
    await running.end()
  }
}

function summary({ at }: Row): string {
  return Object.entries(at)
    .map(([key, { perSecond, p99, lost }]) => {
      const losses = lost > 0 ? `, ${lost} lost` : ''
      return `${key} ${perSecond.toFixed(0)}/s p99 ${p99.toFixed(1)} ms${losses}`
    })
    .join('; ')
}

function report(): void {
  const { cpu, features, onnxruntime } = machine()
  const median = (of: (row: Row) => number, server: string, digits = 0) =>
    Number(quantile((rows.get(server) ?? []).map(of), 0.5).toFixed(digits))
  const loop = quantile(roofs, 0.5)
  const table = [...rows.keys()].map((server) => {
    const perSecond = clientCounts.map((n) => median(({ at }) => at[n]?.perSecond ?? 0, server))
    const p99 = clientCounts.map((n) => median(({ at }) => at[n]?.p99 ?? 0, server, 1))
    return {
      server,
      'images/s': perSecond.join(' / '),
      'of the loop': (Math.max(...perSecond) / loop).toFixed(2),
      'p99 ms': p99.join(' / '),
      'open p50 ms': median(({ at }) => at.open?.p50 ?? 0, server, 1),
      'open p99 ms': median(({ at }) => at.open?.p99 ?? 0, server, 1),
      'of a simulated queue': median(({ at, ideal }) => (at.open?.p99 ?? 0) / ideal, server, 2),
      'ready s': median(({ readyMs }) => readyMs / 1000, server, 2),
      'memory MiB': median(({ memory }) => memory, server),
      lost: median(({ at }) => Object.values(at).reduce((sum, { lost }) => sum + lost, 0), server)
    }
  })
  console.log(`${workload.about}; ${cpu} (${features.join(', ')}), ${cores} cores`)
  console.log(`ONNX Runtime ${onnxruntime}; clients: ${clientCounts.join(' / ')}`)
  console.log(`plain loop: ${loop.toFixed(0)} images/s`)
  for (const row of table) console.log(row)
  const file = join(cache, `serve-${workload.name}.json`)
  const bare = [...rows].map(([server, all]) => [server, all.map(withoutTimes)])
  writeFileSync(file, JSON.stringify({ roofs, rows: Object.fromEntries(bare) }, null, 2))
}

function withoutTimes({ at, ...row }: Row): unknown {
  const figures = Object.entries(at).map(([key, { timesMs: _, ...rest }]) => [key, rest])
  return { ...row, at: Object.fromEntries(figures) }
}
