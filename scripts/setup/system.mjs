/**
 * What set-up needs of the machine: running commands, finding programs, installing with apt.
 *
 * Plain JavaScript without dependencies for Node 18 and newer, as everything in this folder: it runs
 * before the first dependency and the right Node are there.
 */
import { spawn, spawnSync } from 'node:child_process'
import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '')

/** Set-up talks on standard error, so that what it starts has standard output to itself. */
export const say = (line) => process.stderr.write(`setup: ${line}\n`)

/** A failure with the next thing to try, in words for the person in front of the screen. */
export class SetupError extends Error {
  /** @param isFinal whether no other way may be tried instead */
  constructor(message, advice, { isFinal = false } = {}) {
    super(message)
    this.advice = advice
    this.isFinal = isFinal
  }
}

/** Full path of a program on PATH, or null. */
export function which(program, path = process.env.PATH ?? '') {
  for (const folder of path.split(delimiter).filter(Boolean)) {
    const file = join(folder, program)
    try {
      accessSync(file, constants.X_OK)
      if (statSync(file).isFile()) return file
    } catch {
      // Not here: the next folder.
    }
  }
  return null
}

/** Runs a command with its output on the screen. Rejects with the command line and exit code. */
export function run(command, args, { cwd = root, env = process.env } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env, stdio: ['ignore', 2, 2] })
    child.once('error', (cause) => reject(new Error(`${command}: ${cause.message}`)))
    child.once('exit', (code, signal) =>
      code === 0
        ? resolve()
        : reject(new Error(`${command} ${args.join(' ')} ended with ${signal ?? `code ${code}`}`))
    )
  })
}

/** Whether a command succeeds, silently. */
export function succeeds(command, args, { timeout = 20_000 } = {}) {
  return spawnSync(command, args, { stdio: 'ignore', timeout }).status === 0
}

/** How to run apt-get here without a question being asked, or null when that is not possible. */
function aptCommand() {
  if (which('apt-get') === null) return null
  if (process.getuid?.() === 0) return ['apt-get']
  return which('sudo') && succeeds('sudo', ['-n', 'true']) ? ['sudo', '-n', 'apt-get'] : null
}

/**
 * Makes programs available, by apt where that is possible.
 *
 * @param programs the names to look for; any one of them will do
 * @param packages the Debian packages that bring one
 * @returns the full path of the first that is there
 * @throws SetupError saying how to install it by hand
 */
export async function provide(programs, packages, purpose) {
  const find = () => programs.map((program) => which(program)).find(Boolean)
  const found = find()
  if (found) return found
  const advice = `Install it (Debian, Ubuntu: sudo apt-get install ${packages.join(' ')}) and start again`
  const apt = aptCommand()
  if (apt === null) throw new SetupError(`${programs.join(' or ')} is missing (${purpose})`, advice)
  say(`${programs[0]} is missing (${purpose}): installing ${packages.join(' ')} with apt-get`)
  await aptInstall(apt, packages).catch((error) => {
    throw new SetupError(`${packages.join(' ')} could not be installed: ${error.message}`, advice)
  })
  const installed = find()
  if (!installed) throw new SetupError(`${programs.join(' or ')} is still missing`, advice)
  return installed
}

async function aptInstall([command, ...before], packages) {
  // RUNLEVEL=1 keeps Debian's maintainer scripts from starting the services they bring.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  const install = ['install', '-y', '-q', '--no-install-recommends', ...packages]
  try {
    await run(command, [...before, ...install], { env })
  } catch {
    // Most often the package lists are missing or old.
    await run(command, [...before, 'update', '-q'], { env })
    await run(command, [...before, ...install], { env })
  }
}
