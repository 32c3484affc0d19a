/** A server under test as a process group of its own: started, waited for, asked once, ended. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { request } from 'node:http'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { Server } from './servers.ts'
import type { Workload } from './workloads.ts'

const run = promisify(execFile)
const [startMs, endMs] = [120_000, 15_000]

export interface RunningServer {
  /** From the start of the process to its first answer. */
  readonly readyMs: number
  /** Proportional set size of all its processes, in MiB: pages that are shared count once. */
  memory(): Promise<number>
  end(): Promise<void>
}

/** The Python of a peer, in an environment of its own, made if it is not there. */
export async function python({ name, packages }: Server, cache: string): Promise<string> {
  const folder = join(cache, name.replace(/\W+/g, '-').toLowerCase())
  const file = join(folder, 'bin/python')
  if (existsSync(join(folder, 'ready'))) return file
  console.log(`installing ${packages?.join(' ')}`)
  // Triton's wheel holds a libpython that goes with the distribution's standard library only.
  const system = '/usr/bin/python3'
  await run(existsSync(system) ? system : 'python3', ['-m', 'venv', folder])
  await run(file, ['-m', 'pip', 'install', '--quiet', ...(packages ?? [])], { timeout: 600_000 })
  await run('touch', [join(folder, 'ready')])
  return file
}

export async function start(
  server: Server,
  workload: Workload,
  { port, command, workers }: { port: number; command: string; workers: number }
): Promise<RunningServer> {
  const { input, classes, path } = workload.model
  const began = performance.now()
  const child = spawn(command, [server.script], {
    detached: true,
    cwd: dirname(server.script),
    stdio: ['ignore', 'ignore', process.env.BENCH_DEBUG ? 'inherit' : 'ignore'],
    env: {
      ...process.env,
      MODEL: path,
      SIZE: String(input.size),
      CLASSES: String(classes),
      FORM: workload.form,
      PORT: String(port),
      WORKERS: String(workers),
      OMP_NUM_THREADS: '1'
    }
  })
  // Ended along with the benchmark, also when that is interrupted.
  const onExit = () => kill(-(child.pid ?? 0), 'SIGKILL')
  process.once('exit', onExit)
  child.once('exit', () => process.off('exit', onExit))
  const [image = Buffer.alloc(0)] = workload.images
  const sent = server.request(image, workload)
  try {
    while ((await status(port, sent)) !== 200) {
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error(`${server.name} ended while it was starting`)
      if (performance.now() - began > startMs) throw new Error(`${server.name} did not get ready`)
      await sleep(50)
    }
  } catch (error) {
    await end(child)
    throw error
  }
  const readyMs = performance.now() - began
  return { readyMs, memory: () => memoryOf(child.pid ?? 0), end: () => end(child) }
}

/** Status of the answer; 0 without one. */
function status(port: number, sent: ReturnType<Server['request']>): Promise<number> {
  const { path, headers, body } = sent
  return new Promise((resolve) => {
    const length = { 'content-length': body.length }
    const options = {
      port,
      path,
      method: 'POST',
      headers: { ...headers, ...length },
      timeout: 5000
    }
    const asked = request(options, (response) => {
      response.resume()
      response.once('end', () => resolve(response.statusCode ?? 0))
    })
    asked.once('error', () => resolve(0))
    asked.once('timeout', () => asked.destroy())
    asked.end(body)
  })
}

async function memoryOf(leader: number): Promise<number> {
  const { stdout } = await run('ps', ['-e', '-o', 'pid=,ppid=,sid='])
  const rows = stdout.split('\n').map((line) => line.trim().split(/\s+/).map(Number))
  const own = new Set([leader])
  // Parents come before their children, but for numbers that were used before.
  for (let before = 0; before < own.size; ) {
    before = own.size
    for (const [pid = 0, parent = 0, session = 0] of rows) {
      if (own.has(parent) || session === leader) own.add(pid)
    }
  }
  const files = [...own].map((pid) => `/proc/${pid}/smaps_rollup`)
  const all = await run('grep', ['-hs', '^Pss:', ...files]).catch(({ stdout }) => ({ stdout }))
  const kib = [...String(all.stdout).matchAll(/(\d+) kB/g)].map(([, n]) => Number(n))
  return kib.reduce((a, b) => a + b, 0) / 1024
}

/** Ends the whole group: workers of some servers outlive their parent. */
async function end(child: ChildProcess): Promise<void> {
  const group = -(child.pid ?? 0)
  const isRunning = child.exitCode === null && child.signalCode === null
  const exited = isRunning ? once(child, 'exit') : Promise.resolve()
  kill(group, 'SIGTERM')
  await Promise.race([exited, sleep(endMs)])
  kill(group, 'SIGKILL')
  await exited
}

function kill(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(group, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
