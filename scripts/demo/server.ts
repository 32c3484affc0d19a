/** Runs `npm start` for the demo: its own data folder, a free port, a private Redis. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const up = fileURLToPath(new URL('../../src/main/up.ts', import.meta.url))

export interface Server {
  readonly url: string
  /** Ends it as Ctrl-C would, and waits until everything has ended. */
  stop(): Promise<void>
}

/** @throws Error with what it printed, when it does not come up. */
export async function startServer(dataDir: string): Promise<Server> {
  // The channel ends the server when the demo is gone, even when it was killed.
  const child = spawn(process.execPath, [up], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: environment(dataDir)
  })
  const url = await addressOf(child)
  return {
    url,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return
      const ended = once(child, 'exit')
      child.kill('SIGTERM')
      await ended
    }
  }
}

/** The caller's settings are for the caller's server; only how to train is taken over. */
function environment(dataDir: string): NodeJS.ProcessEnv {
  const kept = ['WHITTLE_ENGINE', 'WHITTLE_THREADS']
  const inherited = Object.entries(process.env).filter(
    ([name]) => kept.includes(name) || !/^(WHITTLE_|REDIS_URL$)/.test(name)
  )
  return {
    ...Object.fromEntries(inherited),
    WHITTLE_DATA_DIR: dataDir,
    WHITTLE_PORT: '0',
    WHITTLE_LOG_LEVEL: 'warn'
  }
}

function addressOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let output = ''
    const read = (text: string): void => {
      output += text
      const [, url] = /whittle is up\s+(http:\S+)/.exec(output) ?? []
      if (url !== undefined) resolve(url)
    }
    for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', read)
    child.once('error', reject)
    child.once('exit', () => reject(new Error(`whittle did not start:\n${output}`)))
  })
}
