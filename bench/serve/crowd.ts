/**
 * Whether a crowd is answered or refused in time, and what that takes of memory.
 *
 *   node bench/serve/crowd.ts [--work jpeg] [--clients 500] [--seconds 60] [--rest 30]
 *
 * Works are those of run.ts. A client sends its next request as soon as it is answered, also when it was
 * refused: nobody heeds `Retry-After`, which is the worst that a crowd can do. Memory is the proportional
 * set size of all processes of the api. Ends with 1, and says why, where something was lost, late or wrong.
 */
import { mkdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { quantile } from '../../src/infer/summarize-times.ts'
import { freePort } from '../../test/support/free-port.ts'
import { compileLoad, type Figures, load } from './load.ts'
import { makeModels } from './models.ts'
import { type Sent, writeRequests } from './requests.ts'
import { start } from './running-server.ts'
import { servers } from './servers.ts'
import { makeWorkload, workloadNames } from './workloads.ts'

/** The deadline of `infer/engines.ts`, and what reading a request and writing its answer may add. */
const [deadlineMs, graceMs] = [30_000, 5000]
/** What the api may say to one that it cannot answer: the line is full, it is not ready, it took too long. */
const refusals = ['429', '503', '504']
const [sampleMs, lastMs] = [1000, 10_000]
const compared = 16

interface Sample {
  readonly atMs: number
  readonly mib: number
}

const { values } = parseArgs({
  options: {
    work: { type: 'string', default: 'jpeg' },
    clients: { type: 'string', default: '500' },
    seconds: { type: 'string', default: '60' },
    rest: { type: 'string', default: '30' }
  }
})
const [clients, seconds, rest] = [values.clients, values.seconds, values.rest].map(Number) as [
  number,
  number,
  number
]
const name = workloadNames.find((known) => known === values.work)
if (!name)
  throw new Error(`--work must be one of ${workloadNames.join(', ')}, received ${values.work}`)
const whittle = servers.find((server) => server.name === 'whittle')
if (!whittle) throw new Error('servers.ts does not know whittle')
const cache = fileURLToPath(new URL('../../.cache/bench', import.meta.url))
mkdirSync(cache, { recursive: true })
const program = await compileLoad(cache)
const workload = await makeWorkload(name, await makeModels(cache), cache)
const sent = workload.images.map((image) => whittle.request(image, workload))
const requests = join(cache, 'requests-crowd')
await writeRequests(requests, sent)
const port = await freePort()

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
const command = process.execPath
const running = await start(whittle, workload, { port, command, workers: availableParallelism() })
const faults = await crowd().finally(() => running.end())
for (const fault of faults) console.error(`crowd: ${fault}`)
if (faults.length > 0) process.exitCode = 1

/** @returns what went wrong, a sentence each */
async function crowd(): Promise<string[]> {
  const expected = await answers()
  const before = await running.memory()
  console.log(`${workload.about}; ${clients} clients for ${seconds} s`)
  const began = performance.now()
  const sampling = new AbortController()
  const sampled = sample(began, sampling.signal)
  try {
    const figures = await load(program, { port, requests, seconds, shape: { clients } })
    sampling.abort()
    tell(figures)
    const samples = await sampled
    await sleep(rest * 1000)
    tellMemory({ before, samples, rested: await running.memory() })
    const crashes = await engineCrashes()
    const wrong = differing(expected, await answers())
    console.log(
      `engine crashes ${crashes}; afterwards ${compared - wrong} of ${compared} answers right`
    )
    return [...faultsOf(figures), ...faultsAfter({ crashes, wrong })]
  } catch (error) {
    return [`The api or the load generator gave up: ${(error as Error).message}`]
  } finally {
    sampling.abort()
  }
}

async function sample(began: number, signal: AbortSignal): Promise<Sample[]> {
  const samples: Sample[] = []
  while (!signal.aborted) {
    const mib = await running.memory()
    samples.push({ atMs: performance.now() - began, mib })
    await sleep(sampleMs, undefined, { signal }).catch(() => {})
  }
  return samples
}

function tell(figures: Figures): void {
  const { statuses, longestMs, broken, unanswered, p50, p99, perSecond } = figures
  const refused = refusals.map((status) => `${statuses[status] ?? 0} by ${status}`)
  const seconds = (ms: number) => (ms / 1000).toFixed(2)
  const longest = (wanted: readonly string[]) =>
    seconds(Math.max(0, ...wanted.map((status) => longestMs[status] ?? 0)))
  console.log(
    `answered ${statuses[200] ?? 0} (${perSecond.toFixed(0)}/s), refused ${refused.join(', ')}; ` +
      `broken connections ${broken}, without an answer ${unanswered}`
  )
  console.log(
    `answered p50 ${seconds(p50)} s, p99 ${seconds(p99)} s, longest ${longest(['200'])} s; ` +
      `refused longest ${longest(refusals)} s; deadline ${seconds(deadlineMs)} s`
  )
  console.log(
    `longest of the first requests of connections, which wait to be accepted, ` +
      `${seconds(figures.longestFirstMs)} s, of all others ${seconds(figures.longestLaterMs)} s`
  )
}

function tellMemory({
  before,
  samples,
  rested
}: {
  readonly before: number
  readonly samples: readonly Sample[]
  readonly rested: number
}): void {
  const [end, peak] = [samples.at(-1)?.atMs ?? 0, Math.max(...samples.map(({ mib }) => mib))]
  const last = samples.filter(({ atMs }) => atMs > end - lastMs).map(({ mib }) => mib)
  const [start, highest, late, after] = [before, peak, quantile(last, 0.5), rested].map((mib) =>
    mib.toFixed(0)
  )
  console.log(
    `MiB: ${start} at the start, ${highest} at the peak, ${late} in the last ten seconds (median), ` +
      `${after} after ${rest} s of rest; ${samples.length} samples`
  )
}

function faultsOf({ statuses, longestMs, broken, unanswered }: Figures): string[] {
  const faults: string[] = []
  if (!statuses[200]) faults.push('Nobody was answered')
  if (broken > 0) faults.push(`${broken} connections broke off with a request under way`)
  if (unanswered > 0) faults.push(`${unanswered} requests were never answered`)
  for (const [status, count] of Object.entries(statuses)) {
    if (status !== '200' && !refusals.includes(status))
      faults.push(`${count} requests were answered with ${status}`)
  }
  for (const [status, ms] of Object.entries(longestMs)) {
    if (ms > deadlineMs + graceMs)
      faults.push(`An answer ${status} took ${(ms / 1000).toFixed(1)} s: too long`)
  }
  return faults
}

function faultsAfter({ crashes, wrong }: { crashes: number; wrong: number }): string[] {
  const crashed = crashes > 0 ? [`Engine processes crashed: ${crashes}`] : []
  return wrong > 0 ? [...crashed, `${wrong} answers were others than before the crowd`] : crashed
}

async function engineCrashes(): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  const [, count] = /^whittle_engine_crashes_total (\d+)/m.exec(text) ?? []
  if (count === undefined) throw new Error('/metrics does not count engine crashes')
  return Number(count)
}

/** What the first images are answered, one at a time. */
async function answers(): Promise<string[]> {
  const texts: string[] = []
  for (const request of sent.slice(0, compared)) texts.push(await answer(request))
  return texts
}

/** The part of an answer that depends on the image alone: requests are numbered. */
async function answer({ path, headers, body }: Sent): Promise<string> {
  const texts = Object.entries(headers).map(([key, value]) => [key, String(value)])
  const init = { method: 'POST', headers: Object.fromEntries(texts), body: Buffer.from(body) }
  const response = await fetch(`http://127.0.0.1:${port}${path}`, init)
  const bytes = Buffer.from(await response.arrayBuffer())
  if (response.status !== 200) throw new Error(`${path} answered ${response.status}: ${bytes}`)
  const head = response.headers.get('inference-header-content-length')
  if (head !== null) return bytes.subarray(Number(head)).toString('hex')
  const { predictions } = JSON.parse(bytes.toString())
  return JSON.stringify(predictions)
}

function differing(expected: readonly string[], found: readonly string[]): number {
  return expected.filter((text, i) => text !== found[i]).length
}
