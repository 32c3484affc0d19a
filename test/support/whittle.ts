/** A whole whittle as `npm start` runs it, in a folder of its own, driven over HTTP alone. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { ZipFile } from 'yazl'
import { processesOf } from './processes.ts'
import { shapeImages } from './shapes-dataset.ts'

const up = fileURLToPath(new URL('../../src/main/up.ts', import.meta.url))

// biome-ignore lint/suspicious/noExplicitAny: what an endpoint answers is what the tests find out
export type Json = any

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: Json
}

export type Role = 'api' | 'worker' | 'trainer' | 'redis'

export interface Whittle {
  readonly url: string
  readonly dataDir: string
  readonly process: ChildProcess
  /** Everything that it has printed. */
  output(): string
  get(path: string): Promise<Answer>
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Answer>
  /** Sends a zip that is to become the dataset of that name. */
  upload(name: string, zip: Buffer<ArrayBuffer>): Promise<Answer>
  /** Uploads shapes as a zip and waits until they are imported. */
  uploadShapes(name: string, options: { seed: number; perClass: number }): Promise<Json>
  /** Polls a job until `done` says so of its document. @throws Error after two minutes */
  watch(job: string, done: (document: Json) => boolean | Promise<boolean>): Promise<Json>
  /** Whether such a process is there to be killed. */
  has(role: Role): boolean
  /** Ends one process as a crash would. */
  kill(role: Role): void
  /** Asks it to end; resolves with the exit code. */
  stop(): Promise<number | null>
}

/** Starts it on a free port and ends it, and all its processes, with the test. */
export async function startWhittle(
  t: TestContext,
  dataDir?: string,
  settings: Readonly<Record<string, string>> = {}
): Promise<Whittle> {
  const folder = dataDir ?? (await mkdtemp(join(tmpdir(), 'whittle-e2e-')))
  // By the channel it ends with the test, even if that is killed.
  const child = spawn(process.execPath, [up], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: {
      ...process.env,
      WHITTLE_PORT: '0',
      WHITTLE_DATA_DIR: folder,
      WHITTLE_THREADS: '1',
      ...settings
    }
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text) => {
      output += text
    })
  }
  const stop = async (): Promise<number | null> => {
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    await ended
    return child.exitCode
  }
  t.after(async () => {
    await stop()
    if (dataDir === undefined) await rm(folder, { recursive: true, force: true })
  })
  const url = await addressOf(child, () => output)
  return client({ url, dataDir: folder, process: child, output: () => output, stop })
}

type Running = Pick<Whittle, 'url' | 'dataDir' | 'process' | 'output' | 'stop'>

function client(running: Running): Whittle {
  const { url, output } = running
  const get = async (path: string): Promise<Answer> => asAnswer(await fetch(url + path))
  const upload: Whittle['upload'] = async (name, zip) => {
    const body = new FormData()
    body.set('file', new Blob([zip]), `${name}.zip`)
    body.set('name', name)
    return asAnswer(await fetch(`${url}/v1/datasets`, { method: 'POST', body }))
  }
  const watch: Whittle['watch'] = async (job, done) => {
    let seen: Json = null
    for (const deadline = Date.now() + 500_000; Date.now() < deadline; await sleep(100)) {
      const { status, body } = await get(`/v1/jobs/${job}`).catch(() => ({ status: 0, body: null }))
      if (status === 200 && (await done(body))) return body
      seen = body
    }
    throw new Error(`${job} did not get there: ${JSON.stringify(seen)} ${output().slice(-4000)}`)
  }
  return {
    ...running,
    get,
    async post(path, body, headers = {}) {
      const json = { 'content-type': 'application/json', ...headers }
      const init = { method: 'POST', headers: json, body: JSON.stringify(body) }
      return asAnswer(await fetch(url + path, init))
    },
    upload,
    async uploadShapes(name, options) {
      const answer = await upload(name, await shapesZip(options))
      if (answer.status !== 202) throw new Error(JSON.stringify(answer.body))
      for (;;) {
        const { body } = await get(`/v1/datasets/${name}`)
        if (body.status !== 'importing') return body
        await sleep(50)
      }
    },
    watch,
    has: (role) => findPid(role, running) !== undefined,
    kill: (role) => void process.kill(pidOf(role, running), 'SIGKILL')
  }
}

async function asAnswer(response: Response): Promise<Answer> {
  const { status, headers } = response
  const text = await response.text()
  const isJson = (headers.get('content-type') ?? '').includes('json')
  return { status, headers, body: isJson ? JSON.parse(text) : text }
}

async function addressOf(child: ChildProcess, output: () => string): Promise<string> {
  for (const deadline = Date.now() + 240_000; Date.now() < deadline; await sleep(50)) {
    const [, url] = /whittle is up\s+(http:\S+)/.exec(output()) ?? []
    if (url !== undefined) return url
    if (child.exitCode !== null) break
  }
  throw new Error(`whittle did not start: ${output()}`)
}

export async function shapesZip(options: {
  seed: number
  perClass: number
}): Promise<Buffer<ArrayBuffer>> {
  const zip = new ZipFile()
  for (const [i, { label, png }] of (await shapeImages(options.seed, options.perClass)).entries()) {
    zip.addBuffer(png, `${label}/${i}.png`)
  }
  zip.end()
  return Buffer.concat((await Array.fromAsync(zip.outputStream)) as Buffer[])
}

const scripts: Readonly<Record<Exclude<Role, 'redis'>, string>> = {
  api: 'main/api.ts',
  worker: 'main/worker.ts',
  trainer: 'worker/trainer.ts'
}

function pidOf(role: Role, running: Running): number {
  const pid = findPid(role, running)
  if (pid === undefined) throw new Error(`There is no ${role} process`)
  return pid
}

function findPid(role: Role, { process: root }: Running): number | undefined {
  const wanted = role === 'redis' ? 'redis-server unixsocket' : scripts[role]
  return processesOf(root.pid ?? 0).find(({ command }) => command.includes(wanted))?.pid
}
