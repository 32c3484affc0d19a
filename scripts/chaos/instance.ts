/**
 * A whole whittle in a folder of its own: `npm start`, and further workers as other machines would
 * run them. Whatever ends is started again, as an init system would.
 *
 * `npm start` keeps its own parts alive; kept here are only `npm start` itself and the other workers.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePort } from '../../test/support/free-port.ts'
import { Outages } from './outages.ts'
import { type Found, processesIn, processesOf, type Role, signal } from './processes.ts'

const script = (role: 'up' | 'worker'): string =>
  fileURLToPath(new URL(`../../src/main/${role}.ts`, import.meta.url))

/** Much more than a run needs. */
export const maxDiskBytes = 8 * 2 ** 30
const restartPauseMs = 300
const comesBackWithinMs = 180_000
const endsWithinMs = 90_000

export class Instance {
  readonly folder: string
  readonly dataDir: string
  readonly outages = new Outages()
  /** Exit codes of `npm start` where nobody had asked it to end or killed it. */
  readonly ownEnds: number[] = []
  /** Processes that are stopped just now; they cannot do what they are asked. */
  readonly frozen = new Set<number>()
  readonly webhookSecret = `whsec_${randomBytes(32).toString('base64')}`
  readonly #workers: number
  readonly #log: number
  readonly #token = randomBytes(24).toString('base64url')
  readonly #children = new Set<ChildProcess>()
  readonly #keepers: Promise<void>[] = []
  #port = 0
  #stopping = false

  constructor(folder: string, workers: number) {
    this.folder = folder
    this.dataDir = join(folder, 'data')
    this.#workers = workers
    this.#log = openSync(join(folder, 'log'), 'a')
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  /** Starts everything and waits until it answers. */
  async start(): Promise<void> {
    this.#port = await freePort()
    await mkdir(join(this.folder, 'tmp'), { recursive: true })
    this.#keepers.push(this.#keepUp())
    await this.answers()
    for (let i = 1; i < this.#workers; i += 1) this.#keepers.push(this.#keepWorker(i))
  }

  /** Waits until the api answers; with `otherThan`, until another process does. */
  async answers(otherThan?: number): Promise<void> {
    for (const deadline = Date.now() + comesBackWithinMs; Date.now() < deadline; await sleep(50)) {
      const [api] = this.find('api')
      if (api === undefined || api.pid === otherThan) continue
      const live = `${this.url}/health/live`
      const answer = await fetch(live, { signal: AbortSignal.timeout(2000) }).catch(() => null)
      if (answer?.ok) return
    }
    throw new Error(`The api did not come back within ${comesBackWithinMs} ms`)
  }

  find(role: Role): Found[] {
    return processesOf(this.folder, role)
  }

  /** Processes that are there, of every kind. */
  all(): Found[] {
    return processesIn(this.folder)
  }

  /** Where the private Redis can be reached at the moment. */
  get redisSocket(): string {
    return readFileSync(join(this.dataDir, 'redis', 'redis.socket'), 'utf8').trim()
  }

  /** Everything that its processes have printed. */
  output(): string {
    return readFileSync(join(this.folder, 'log'), 'utf8')
  }

  /** Ends everything as Ctrl-C would. Resolves with what was left running. */
  async stop(): Promise<Found[]> {
    if (this.#stopping) return []
    this.#stopping = true
    for (const child of this.#children) child.kill('SIGTERM')
    await Promise.race([Promise.all(this.#keepers), sleep(endsWithinMs, undefined, { ref: false })])
    // What ends with its parent's channel may take a moment longer.
    for (let i = 0; i < 100 && this.all().length > 0; i += 1) await sleep(100)
    const left = this.all()
    for (const { pid } of left) signal(pid, 'SIGKILL')
    await Promise.all(this.#keepers)
    closeSync(this.#log)
    return left
  }

  async #keepUp(): Promise<void> {
    while (!this.#stopping) {
      const code = await this.#run('up', this.#environment())
      if (code !== null && code !== 0) this.ownEnds.push(code)
      // The next one has another Redis, which the other workers are to be told.
      for (const worker of this.#children) worker.kill('SIGTERM')
      await sleep(restartPauseMs)
    }
  }

  async #keepWorker(number: number): Promise<void> {
    while (!this.#stopping) {
      await this.#run('worker', {
        ...this.#environment(),
        WHITTLE_API_URL: this.url,
        WHITTLE_CACHE_DIR: join(this.folder, `worker-${number}`),
        REDIS_URL: this.redisSocket
      })
      await sleep(restartPauseMs)
      if (!this.#stopping) await this.answers()
    }
  }

  /** Starts a process and waits for its end. Its exit code is null when a signal ended it. */
  async #run(role: 'up' | 'worker', env: NodeJS.ProcessEnv): Promise<number | null> {
    // By the channel it ends with this process, even if that is killed.
    const stdio = ['ignore', this.#log, this.#log, 'ipc'] as const
    const child = spawn(process.execPath, [script(role)], {
      cwd: this.folder,
      stdio: [...stdio],
      env
    })
    this.#children.add(child)
    const [code] = await once(child, 'exit')
    this.#children.delete(child)
    return code
  }

  #environment(): NodeJS.ProcessEnv {
    const inherited = Object.entries(process.env).filter(
      ([name]) => name === 'WHITTLE_ENGINE' || !/^(WHITTLE_|REDIS_URL$)/.test(name)
    )
    return {
      ...Object.fromEntries(inherited),
      TMPDIR: join(this.folder, 'tmp'),
      WHITTLE_DATA_DIR: this.dataDir,
      WHITTLE_PORT: String(this.#port),
      WHITTLE_THREADS: '1',
      WHITTLE_MAX_DISK: String(maxDiskBytes),
      WHITTLE_WEBHOOK_SECRET: this.webhookSecret,
      WHITTLE_WEBHOOK_TARGETS: 'any',
      WHITTLE_WORKER_TOKEN: this.#token
    }
  }
}
