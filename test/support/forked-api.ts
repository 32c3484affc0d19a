/** The api role in a process of its own, as a test has forked it with its output piped. */
import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { TestContext } from 'node:test'

export interface ListeningApi {
  readonly url: string
  readonly process: ChildProcess
  /** All that it has written so far. */
  output(): string
}

/** Waits until it listens; it is killed with the test. Fails with its output when it ends before. */
export async function listening(t: TestContext, child: ChildProcess): Promise<ListeningApi> {
  t.after(() => child.kill('SIGKILL'))
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk) => {
      output += chunk
    })
  }
  const ended = once(child, 'exit').then(() => assert.fail(`the api ended: ${output}`))
  const [message] = await Promise.race([once(child, 'message'), ended])
  ended.catch(() => {})
  return { url: (message as { url: string }).url, process: child, output: () => output }
}
