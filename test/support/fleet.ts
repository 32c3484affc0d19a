/**
 * An api, its Redis and several workers, each a process of its own that can be ended, frozen and started
 * again, as on several machines: workers share no folder with anybody.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePort } from './free-port.ts'
import { processesOf } from './processes.ts'
import { startRedis } from './redis.ts'
import { until } from './until.ts'
import { type Json, shapesZip } from './whittle.ts'

/** What the fleet's keys are called; the first may everything, the others train. */
export const fleetKeys = {
  admin: 'key-of-admin',
  alice: 'key-of-alice',
  bob: 'key-of-bob'
} as const
export type Who = keyof typeof fleetKeys

export interface Member {
  readonly name: string
  readonly pid: number
  /** Everything that it has printed, over all its lives. */
  output(): string
  start(): Promise<void>
  /** Asks it to end; resolves with the exit code. */
  stop(): Promise<number | null>
  /** Ends it as a crash would. */
  kill(): Promise<void>
  /** Sends it a signal and waits for nothing. */
  signal(signal: NodeJS.Signals): void
}

export interface Fleet {
  readonly api: Member
  /** Adds a worker and waits until it takes jobs. */
  addWorker(name: string, concurrency: number): Promise<Member>
  /** Repeated until the api answers it otherwise than by going away (no answer, 503), as clients are told to. */
  ask(who: Who, method: string, path: string, body?: Body): Promise<Reply>
  /** Asks again and again until `done` says so of the answer. */
  watch(path: string, done: (body: Json) => boolean | Promise<boolean>): Promise<Json>
  uploadShapes(name: string, options: { seed: number; perClass: number }): Promise<void>
}

/** An object is sent as JSON. */
export type Body = FormData | Blob | Readonly<Record<string, unknown>>

export interface Reply {
  readonly status: number
  readonly body: Json
}

const pauseMs = 200

/** Starts Redis and the api; everything ends with the test. */
export async function startFleet(t: TestContext): Promise<Fleet> {
  const folder = await mkdtemp(join(tmpdir(), 'whittle-fleet-'))
  const redis = await startRedis(t)
  const url = `http://127.0.0.1:${await freePort()}`
  const shared = {
    WHITTLE_API_URL: url,
    WHITTLE_PORT: new URL(url).port,
    WHITTLE_API_KEYS: `${fleetKeys.admin},train:${fleetKeys.alice},train:${fleetKeys.bob}`,
    WHITTLE_WORKER_TOKEN: 'token-of-the-workers',
    WHITTLE_THREADS: '1',
    WHITTLE_ENGINES: '1',
    REDIS_URL: redis.url
  }
  const members: Member[] = []
  t.after(async () => {
    await Promise.all(members.map((member) => member.kill()))
    await rm(folder, { recursive: true, force: true })
  })
  const add = async (name: string, role: 'api' | 'worker', env: object): Promise<Member> => {
    const member = memberOf({ name, role, env: { ...shared, ...env } })
    members.push(member)
    await member.start()
    return member
  }
  const api = await add('api', 'api', { WHITTLE_DATA_DIR: join(folder, 'data') })
  const ask: Fleet['ask'] = (who, method, path, body) => persist({ url, who, method, path, body })
  const watch: Fleet['watch'] = async (path, done) => {
    let last: Reply['body']
    await until(async () => {
      last = (await ask('admin', 'GET', path)).body
      return done(last)
    })
    return last
  }
  return {
    api,
    addWorker: (name, concurrency) =>
      add(name, 'worker', {
        WHITTLE_CACHE_DIR: join(folder, name),
        WHITTLE_WORKER_CONCURRENCY: String(concurrency)
      }),
    ask,
    watch,
    async uploadShapes(name, options) {
      const form = new FormData()
      form.set('name', name)
      form.set('file', new Blob([await shapesZip(options)]), 'shapes.zip')
      const { status, body } = await ask('admin', 'POST', '/v1/datasets', form)
      if (status !== 202) throw new Error(JSON.stringify(body))
      await watch(`/v1/datasets/${name}`, (dataset) => dataset.status === 'ready')
    }
  }
}

interface MemberOptions {
  readonly name: string
  readonly role: 'api' | 'worker'
  readonly env: Readonly<Record<string, string>>
}

function memberOf({ name, role, env }: MemberOptions): Member {
  const script = fileURLToPath(new URL(`../../src/main/${role}.ts`, import.meta.url))
  let output = ''
  let child: ChildProcess | undefined
  const running = (): ChildProcess => {
    if (child === undefined) throw new Error(`${name} has not been started`)
    return child
  }
  const end = async (signal: NodeJS.Signals): Promise<number | null> => {
    const ending = running()
    if (ending.exitCode === null && ending.signalCode === null) {
      const ended = once(ending, 'exit')
      ending.kill(signal)
      await ended
    }
    return ending.exitCode
  }
  return {
    name,
    get pid() {
      return running().pid ?? 0
    },
    output: () => output,
    async start() {
      // By the channel it ends with the test, even if that is killed.
      const started = spawn(process.execPath, [script], {
        stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
        env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env }
      })
      child = started
      for (const stream of [started.stdout, started.stderr]) {
        stream?.setEncoding('utf8').on('data', (text) => {
          output += text
        })
      }
      const ended = once(started, 'exit').then(() => {
        throw new Error(`${name} did not start: ${output.slice(-4000)}`)
      })
      ended.catch(() => {})
      // Its first message says that it is ready.
      await Promise.race([once(started, 'message'), ended])
    },
    stop: () => end('SIGTERM'),
    async kill() {
      // Frozen or not, and its trainers with it: they are told of their parent's end only when they look.
      const family = processesOf(running().pid ?? 0)
      await end('SIGKILL')
      for (const { pid } of family.slice(1)) endQuietly(pid)
    },
    signal: (signal) => void running().kill(signal)
  }
}

function endQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It ended by itself.
  }
}

interface Request {
  readonly url: string
  readonly who: Who
  readonly method: string
  readonly path: string
  readonly body: Body | undefined
}

async function persist({ url, who, method, path, body }: Request): Promise<Reply> {
  const headers: Record<string, string> = { authorization: `Bearer ${fleetKeys[who]}` }
  const isJson = body !== undefined && !(body instanceof FormData) && !(body instanceof Blob)
  if (isJson) headers['content-type'] = 'application/json'
  // What is sent again must not be done again.
  if (method === 'POST') headers['idempotency-key'] = crypto.randomUUID()
  const init = { method, headers, body: isJson ? JSON.stringify(body) : (body ?? null) }
  for (;;) {
    try {
      const answer = await fetch(url + path, init)
      const text = await answer.text()
      const isAway =
        answer.status === 503 || (answer.status === 409 && text.includes('IN_PROGRESS'))
      if (!isAway) {
        const json = answer.headers.get('content-type')?.includes('json') ?? false
        return { status: answer.status, body: json ? JSON.parse(text) : text }
      }
    } catch {
      // No connection, or one that broke off.
    }
    await sleep(pauseMs)
  }
}
