/** Faults of processes and their disk: killed, asked to end, frozen, emptied, full. Each ends when all is up again. */
import { once } from 'node:events'
import { rm, truncate, writeFile } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from '../../src/tensor/random.ts'
import type { Run } from './actions.ts'
import { maxDiskBytes } from './instance.ts'
import { type Found, type Role, signal } from './processes.ts'

/** Does it, waits until it is over, and says what was done; undefined when there was nothing to hit. */
export type Act = (run: Run, draws: Random) => Promise<string | undefined>

/** Roles without which the api does not answer. */
const carriesApi: readonly Role[] = ['up', 'api']
/** Trainers that may be killed in one job: a third in a row without progress would rightly fail it. */
const mostHits = 2
const findWithinMs = 5000
/** All of it ends within 20 s by its own clock; a busy machine takes a while to let it. */
const endsWithinMs = 30_000

export const kill =
  (role: Role): Act =>
  async (run, draws) => {
    if (role === 'trainer' && !(await mayHitTrainers(run))) return undefined
    const victim = await pick(run, role, draws)
    if (victim === undefined) return undefined
    return during(run, role, victim, async () => {
      signal(victim.pid, 'SIGKILL')
      return `${role} ${victim.pid}`
    })
  }

/** SIGTERM. Whoever keeps it alive starts it again. */
export const end =
  (role: Role): Act =>
  async (run, draws) => {
    const victim = await pick(run, role, draws)
    if (victim === undefined) return undefined
    return during(run, role, victim, async () => {
      let began = performance.now()
      signal(victim.pid, 'SIGTERM')
      while (isThere(run, role, victim) && performance.now() - began < endsWithinMs) {
        await sleep(50)
        if (run.instance.frozen.has(victim.pid)) began = performance.now()
      }
      const took = ((performance.now() - began) / 1000).toFixed(1)
      if (isThere(run, role, victim)) {
        run.ledger.find('wrong', `${role} ${victim.pid} did not end within ${took} s of SIGTERM`)
        signal(victim.pid, 'SIGKILL')
      }
      return `${role} ${victim.pid}, gone after ${took} s`
    })
  }

/** SIGSTOP, then SIGCONT. `seconds` are those of a full run; a brief one takes a fifth. */
export const freeze =
  (role: Role, [least, most]: readonly [number, number]): Act =>
  async (run, draws) => {
    const victim = await pick(run, role, draws)
    const seconds = draws.between(least, most) * (run.options.brief ? 0.2 : 1)
    if (victim === undefined) return undefined
    return during(run, role, undefined, async () => {
      signal(victim.pid, 'SIGSTOP')
      run.instance.frozen.add(victim.pid)
      await sleep(seconds * 1000)
      signal(victim.pid, 'SIGCONT')
      run.instance.frozen.delete(victim.pid)
      return `${role} ${victim.pid} for ${seconds.toFixed(1)} s`
    })
  }

/** Every process of the run at once, as when the machine loses its power. */
export const killEverything: Act = async (run) => {
  const [api] = run.instance.find('api')
  const all = run.instance.all()
  return during(run, 'up', api, async () => {
    for (const { pid } of all) signal(pid, 'SIGKILL')
    return `${all.length} processes`
  })
}

export const emptyRedis: Act = async ({ instance }) => {
  const connection = createConnection(instance.redisSocket)
  try {
    await once(connection, 'connect')
    connection.write('FLUSHALL\r\n')
    const [answer] = await once(connection, 'data')
    return `FLUSHALL: ${String(answer).trim()}`
  } catch {
    // Away just now, by another fault.
    return undefined
  } finally {
    connection.destroy()
  }
}

/** Takes all the room that the data folder may have, without taking it from the machine: a sparse file. */
export const fillDisk: Act = async ({ instance, options }, draws) => {
  const seconds = draws.between(12, 30) * (options.brief ? 0.2 : 1)
  const ballast = join(instance.dataDir, 'ballast')
  await writeFile(ballast, '')
  await truncate(ballast, maxDiskBytes)
  try {
    await sleep(seconds * 1000)
  } finally {
    await rm(ballast)
  }
  return `for ${seconds.toFixed(1)} s`
}

/** Acts, and where that takes the api away, waits for it to be back; requests may fail meanwhile. */
async function during(
  run: Run,
  role: Role,
  victim: Found | undefined,
  act: () => Promise<string>
): Promise<string> {
  if (!carriesApi.includes(role)) return act()
  const [api] = role === 'api' ? [victim] : run.instance.find('api')
  const over = run.instance.outages.begin()
  try {
    const done = await act()
    await run.instance.answers(victim === undefined ? undefined : api?.pid)
    return done
  } finally {
    over()
  }
}

async function pick({ instance }: Run, role: Role, draws: Random): Promise<Found | undefined> {
  const at = draws.uniform()
  for (const until = Date.now() + findWithinMs; Date.now() < until; await sleep(20)) {
    const found = instance.find(role)
    if (found.length > 0) return found[Math.floor(at * found.length)]
  }
  return undefined
}

const isThere = ({ instance }: Run, role: Role, { pid }: Found): boolean =>
  instance.find(role).some((found) => found.pid === pid)

/** Counts the hit for every running job, since a trainer does not show whose it is. */
async function mayHitTrainers({ ledger }: Run): Promise<boolean> {
  const running = ledger.openJobs.filter(({ seen }) => seen.state === 'running')
  if (running.length === 0 || running.some(({ hits }) => hits >= mostHits)) return false
  for (const job of running) job.hits += 1
  return true
}
