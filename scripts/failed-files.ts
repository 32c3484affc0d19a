/** A reporter for Node's test runner: the files in which a test failed, a line each time. */
import { relative } from 'node:path'
import type { TestEvent } from 'node:test/reporters'

export default async function* failedFiles(
  events: AsyncIterable<TestEvent>
): AsyncGenerator<string> {
  for await (const { type, data } of events) {
    if (type === 'test:fail' && data.file !== undefined) yield `${relative('.', data.file)}\n`
  }
}
