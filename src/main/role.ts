/** Forks a role (api, worker) with a channel, by which it says that it works and is asked to end. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { exitCodes } from './lifecycle.ts'
import { CannotStartError, type Ending, type Running } from './part.ts'

interface RoleOptions {
  readonly role: 'api' | 'worker'
  readonly env: NodeJS.ProcessEnv
  /** Type of the message by which the role says that it works. */
  readonly ready: string
  /** Milliseconds between asking the role to end and killing it. */
  readonly graceMs: number
  readonly onReady?: (message: Record<string, unknown>) => void
}

/**
 * Starts a role and waits until it works.
 *
 * @throws CannotStartError when it says that another start cannot help; it has said why on stderr
 */
export async function launchRole(options: RoleOptions, signal: AbortSignal): Promise<Running> {
  signal.throwIfAborted()
  const file = fileURLToPath(new URL(`./${options.role}.ts`, import.meta.url))
  const child = fork(file, [], { env: options.env, stdio: 'inherit' })
  const ended = once(child, 'exit').then(([code, signal]): Ending => ({ code, signal }))
  const ready = new Promise<Record<string, unknown>>((resolve) => {
    child.on('message', (message) => {
      if ((message as { type?: unknown }).type === options.ready)
        resolve({ ...(message as object) })
    })
  })
  // A role that is still starting has nothing to save.
  const giveUp = (): void => void child.kill('SIGKILL')
  signal.addEventListener('abort', giveUp)
  const first = await Promise.race([ready, ended])
  signal.removeEventListener('abort', giveUp)
  if (!('type' in first)) {
    const { code, signal } = first as Ending
    const text = `${options.role} ended with ${signal ?? `code ${code}`} before it was ready`
    throw code === exitCodes.cannotStart ? new CannotStartError(text) : new Error(text)
  }
  options.onReady?.(first)
  return { ended, stop: () => stop(child, ended, options.graceMs) }
}

async function stop(child: ChildProcess, ended: Promise<Ending>, graceMs: number): Promise<void> {
  // The channel may be closed already, by a role that is ending.
  if (child.connected) child.send({ type: 'shutdown' }, () => {})
  const insist = setTimeout(() => child.kill('SIGKILL'), graceMs)
  await ended
  clearTimeout(insist)
}
