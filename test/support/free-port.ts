/** A port of this machine for a server that may be away for a while and must come back to it. */
import { createServer } from 'node:net'

/** Below those that systems hand out by themselves, so that nobody is given it meanwhile. */
const [lowest, count] = [20_000, 10_000]

export async function freePort(): Promise<number> {
  for (;;) {
    const port = lowest + Math.floor(Math.random() * count)
    if (await isFree(port)) return port
  }
}

function isFree(port: number): Promise<boolean> {
  const server = createServer()
  return new Promise((resolve) => {
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
