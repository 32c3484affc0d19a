/** One run from an empty folder to the last check. Used by `npm run chaos` and by its short test. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { countUp, type Run } from './actions.ts'
import { Client } from './client.ts'
import { drawPlan, type PlannedFault } from './faults.ts'
import { Instance } from './instance.ts'
import { answered, check, leftBehind } from './invariants.ts'
import { Ledger } from './ledger.ts'
import { Load } from './load.ts'
import type { ChaosOptions } from './options.ts'
import { Receiver } from './receiver.ts'
import { makeReferences } from './reference.ts'
import { evidence, line, table } from './report.ts'
import { isToldOf } from './webhook-invariants.ts'

export interface Outcome {
  readonly ledger: Ledger
  readonly table: string
  /** Empty without findings. */
  readonly evidence: string
}

/** A job lost with its worker waits for half a minute before it goes on, and may be lost again. */
const endsWithinMs = 300_000
/** What a fault takes away is back much sooner. */
const actsWithinMs = 240_000
const toldWithinMs = 60_000
const keptLog = 20_000

/** @param print gets a line for everything that is done */
export async function runChaos(
  options: ChaosOptions,
  print: (line: string) => void
): Promise<Outcome> {
  const folder = await mkdtemp(join(tmpdir(), 'whittle-chaos-'))
  const instance = new Instance(folder, options.workers)
  const ledger = new Ledger()
  const receiver = new Receiver(instance.webhookSecret)
  try {
    await instance.start()
    const client = new Client({ url: instance.url, ledger, outages: instance.outages })
    const say = (what: string): void => print(line(ledger.atMs, what))
    say(`up at ${instance.url}; every kind of job runs once undisturbed`)
    const references = await makeReferences(client, ledger)
    const webhookUrl = await receiver.listen()
    const numbers = countUp()
    const run: Run = {
      options,
      instance,
      client,
      ledger,
      references,
      receiver,
      webhookUrl,
      numbers
    }
    await disturb(run, say)
    await check(run, answered)
    const left = await instance.stop()
    if (left.length > 0) ledger.find('wrong', 'processes were left running', left)
    await check(run, leftBehind)
    const found = ledger.findings.length > 0
    const log = found ? `\n\nThe end of the log:\n${instance.output().slice(-keptLog)}` : ''
    return { ledger, table: table(run), evidence: evidence(ledger) + log }
  } finally {
    for (const { follower } of ledger.jobs) await follower?.leave()
    receiver.close()
    await instance.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

/** Callers and faults together; then the callers rest, and everything accepted is waited for. */
async function disturb(run: Run, say: (what: string) => void): Promise<void> {
  const { ledger } = run
  const load = new Load(run)
  say(`callers at work; ${run.options.seconds} s of faults from seed ${run.options.seed}`)
  const start = performance.now()
  const acts: Promise<void>[] = []
  for (const planned of drawPlan(run.options)) {
    await sleep(Math.max(0, start + planned.atSeconds * 1000 - performance.now()))
    acts.push(inject(run, planned, say))
  }
  await sleep(Math.max(0, start + run.options.seconds * 1000 - performance.now()))
  await Promise.all(acts)
  await load.rest()
  say(`faults are over; ${ledger.openJobs.length} jobs have not ended yet`)
  const deadline = performance.now() + endsWithinMs
  while (ledger.openJobs.length > 0 && performance.now() < deadline) await sleep(200)
  await load.stop()
  // The end of a job is told a moment after it.
  const told = performance.now() + toldWithinMs
  const isToldAll = (): boolean => ledger.jobs.every((job) => isToldOf(run, job))
  while (!isToldAll() && performance.now() < told) await sleep(100)
  for (const { model, seen } of ledger.openJobs) ledger.find('lost', `${model} never ended`, seen)
  say('everything has ended')
}

async function inject(run: Run, { fault, draws }: PlannedFault, say: (what: string) => void) {
  const { ledger } = run
  try {
    const done = await within(actsWithinMs, fault.act(run, draws))
    if (done !== undefined) ledger.countFault(fault.name)
    say(`${fault.name}: ${done ?? 'there was nothing to hit'}`)
  } catch (error) {
    ledger.find('wrong', `after "${fault.name}"`, (error as Error).stack ?? String(error))
  }
}

/** @throws Error when the work takes longer. */
async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  const late = sleep(ms, undefined, { ref: false }).then((): never => {
    throw new Error(`It was not over after ${ms} ms`)
  })
  return Promise.race([work, late])
}
