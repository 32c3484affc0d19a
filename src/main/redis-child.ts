/**
 * The private Redis of `npm start`: a child with a socket only its user can reach, and an
 * append-only file in the data folder.
 *
 * A shell stands between: it waits for the end of its standard input, which comes when this process
 * ends in whatever way, SIGKILL included, and then ends Redis and removes the socket. What it may
 * still leave behind (it can be killed too) is ended at the next start, by Redis' own pid file and
 * the name of its socket, which no other process has.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  writeFileSync
} from 'node:fs'
import { createConnection } from 'node:net'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { endingMs } from './lifecycle.ts'
import { CannotStartError, type Ending, type Running } from './part.ts'

const programs = ['redis-server', 'valkey-server']
const startMs = 30_000

/** $1 is the socket's folder, the rest the command. fd 3 is the standard input that ends with us. */
const guard = `
exec 3<&0
folder=$1; shift
"$@" </dev/null 3<&- & server=$!
{ read -r _ <&3; kill "$server"; } 2>/dev/null & watcher=$!
exec 3<&-
wait "$server"; code=$?
kill "$watcher" 2>/dev/null
rm -rf "$folder"
exit "$code"
`

interface RedisOptions {
  /** Holds the append-only file; one Redis at a time. */
  readonly folder: string
  /** Made for the socket (owner only) and removed with it. At most about 90 bytes long. */
  readonly socketFolder: string
  /** Search path for the server program. */
  readonly path: string | undefined
}

/** Where clients reach a private Redis: a path that ioredis and BullMQ take in place of a URL. */
export const socketOf = (socketFolder: string): string => join(socketFolder, 'redis.sock')

/**
 * Starts Redis and waits until it answers.
 *
 * @throws CannotStartError when there is no server program
 * @throws Error with the end of what Redis said, when it ends instead
 */
export async function launchRedis(options: RedisOptions, signal: AbortSignal): Promise<Running> {
  const program = findProgram(options.path)
  mkdirSync(options.folder, { recursive: true, mode: 0o700 })
  await endStale(options.folder)
  try {
    return await launchOnce(program, options, signal)
  } catch (error) {
    if (!isDamage(error)) throw error
    // The queue holds dispatches only; the catalogue is the truth and dispatches again.
    const aside = `${options.folder}-damaged-${Date.now()}`
    renameSync(options.folder, aside)
    mkdirSync(options.folder, { mode: 0o700 })
    process.stderr.write(`Redis cannot read its file; it was put aside as ${aside}\n`)
    return launchOnce(program, options, signal)
  }
}

async function launchOnce(
  program: string,
  options: RedisOptions,
  signal: AbortSignal
): Promise<Running> {
  signal.throwIfAborted()
  mkdirSync(options.socketFolder, { recursive: true, mode: 0o700 })
  writeFileSync(socketNote(options.folder), socketOf(options.socketFolder))
  const command = [program, ...settings(options)]
  const child = spawn('/bin/sh', ['-c', guard, 'sh', options.socketFolder, ...command], {
    stdio: ['pipe', 'pipe', 'pipe'],
    // A group of its own: Ctrl-C in the terminal must not end Redis before its clients.
    detached: true
  })
  const said = lastLines(child)
  const ended = once(child, 'exit').then(([code, signal]): Ending => ({ code, signal }))
  const running = { ended, stop: () => stop(child, ended) }
  const isOver = { over: false }
  ended.then(() => {
    isOver.over = true
  })
  const deadline = performance.now() + startMs
  while (!(await answers(socketOf(options.socketFolder)))) {
    if (isOver.over) throw new Error(`Redis ended at once: ${said()}`)
    if (signal.aborted || performance.now() > deadline) {
      await running.stop()
      signal.throwIfAborted()
      throw new Error(`Redis does not answer: ${said()}`)
    }
    await sleep(20)
  }
  return running
}

function settings({ folder, socketFolder }: RedisOptions): string[] {
  return [
    ['port', '0'],
    ['unixsocket', socketOf(socketFolder)],
    ['unixsocketperm', '700'],
    ['dir', folder],
    ['pidfile', join(folder, 'redis.pid')],
    ['appendonly', 'yes'],
    ['appendfsync', 'everysec'],
    ['save', ''],
    // BullMQ must never lose a key to eviction.
    ['maxmemory-policy', 'noeviction'],
    ['daemonize', 'no']
  ].flatMap(([name, value]) => [`--${name}`, value as string])
}

function findProgram(path = ''): string {
  for (const program of programs) {
    for (const folder of path.split(delimiter).filter(Boolean)) {
      if (isExecutable(join(folder, program))) return join(folder, program)
    }
  }
  throw new CannotStartError(
    `Cannot start Redis: neither ${programs.join(' nor ')} is on the PATH; npm run setup installs one, REDIS_URL names another`
  )
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** What Redis and Valkey say of files that they cannot read (aof.c, rdb.c). */
const isDamage = (error: unknown): boolean =>
  /bad file format|unrecoverable error|unexpected end of file|fatal error loading|wrong signature|manifest file format|can't handle RDB format/i.test(
    String(error)
  )

/** Asks for PONG; Redis refuses that until it has read its file. */
function answers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = createConnection(socket)
    const settle = (answer: boolean): void => {
      connection.destroy()
      resolve(answer)
    }
    connection.once('connect', () => connection.write('PING\r\n'))
    connection.once('data', (data) => settle(data.toString().startsWith('+PONG')))
    connection.once('error', () => settle(false))
    connection.setTimeout(2000, () => settle(false))
  })
}

/** Reads what a child says, so that it never blocks, and remembers the end of it. */
function lastLines(child: ChildProcess): () => string {
  let text = ''
  const add = (chunk: Buffer): void => {
    text = (text + chunk.toString()).slice(-2000)
  }
  child.stdout?.on('data', add)
  child.stderr?.on('data', add)
  return () => text.trim()
}

async function stop(child: ChildProcess, ended: Promise<Ending>): Promise<void> {
  child.stdin?.end()
  // The whole group: the guard, its watcher and Redis.
  const insist = setTimeout(() => child.pid && sendSignal(-child.pid, 'SIGKILL'), endingMs.redis)
  await ended
  clearTimeout(insist)
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // Gone already.
  }
}

/** Names the socket of the Redis that was started on a folder last. */
const socketNote = (folder: string): string => join(folder, 'redis.socket')

/** Ends a Redis that a killed start has left on this folder. @throws Error when it does not end */
async function endStale(folder: string): Promise<void> {
  const pid = Number(read(join(folder, 'redis.pid')))
  const socket = read(socketNote(folder))
  // The number may belong to another process by now; the socket's name was made up for this one.
  const isThere = (): boolean => socket !== '' && commandOf(pid).includes(socket)
  if (!Number.isInteger(pid) || pid < 2) return
  for (const [signal, waitMs] of [
    ['SIGTERM', 5000],
    ['SIGKILL', 5000]
  ] as const) {
    const deadline = performance.now() + waitMs
    if (isThere()) sendSignal(pid, signal)
    while (isThere() && performance.now() < deadline) await sleep(50)
  }
  if (isThere()) throw new Error(`An earlier Redis (process ${pid}) on ${folder} does not end`)
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    return ''
  }
}

/** The command line of a process, from proc(5) or, where that is not mounted, from ps(1). */
function commandOf(pid: number): string {
  if (existsSync('/proc/self')) return read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ')
  try {
    const options = { encoding: 'utf8', stdio: 'pipe' } as const
    return execFileSync('ps', ['-p', String(pid), '-o', 'command='], options)
  } catch {
    return ''
  }
}
