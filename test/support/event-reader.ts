/** Reads server-sent events off a real socket, as a browser would (WHATWG HTML, section 9.2.6). */
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { showing } from './keys.ts'

export interface ReceivedEvent {
  readonly id: number | null
  readonly event: string
  // biome-ignore lint/suspicious/noExplicitAny: tests look at members of many shapes
  readonly data: any
}

export interface EventReader {
  readonly answer: Response
  /** Comment lines seen so far. */
  readonly comments: () => number
  /** The next event, or null once the answer has ended. */
  next(): Promise<ReceivedEvent | null>
  /** Reads until an event is as wanted; answers all events up to and with it. */
  until(isWanted: (event: ReceivedEvent) => boolean): Promise<ReceivedEvent[]>
  /** Reads to the end of the answer. */
  rest(): Promise<ReceivedEvent[]>
  close(): void
}

export async function openEvents(
  t: TestContext,
  url: string,
  { lastEventId, key }: { readonly lastEventId?: number; readonly key?: string } = {}
): Promise<EventReader> {
  const leaving = new AbortController()
  t.after(() => leaving.abort())
  const headers = {
    ...(lastEventId === undefined ? {} : { 'last-event-id': String(lastEventId) }),
    ...(key === undefined ? {} : showing(key))
  }
  const answer = await fetch(url, { headers, signal: leaving.signal })
  assert.equal(answer.status, 200)
  let comments = 0
  const events = parse(answer, () => {
    comments += 1
  })
  const reader: EventReader = {
    answer,
    comments: () => comments,
    async next() {
      const { value, done } = await events.next()
      return done ? null : value
    },
    async until(isWanted) {
      const seen: ReceivedEvent[] = []
      for (;;) {
        const event = await reader.next()
        assert.ok(event, `the answer ended after ${JSON.stringify(seen)}`)
        seen.push(event)
        if (isWanted(event)) return seen
      }
    },
    async rest() {
      const seen: ReceivedEvent[] = []
      for (let event = await reader.next(); event; event = await reader.next()) seen.push(event)
      return seen
    },
    close: () => leaving.abort()
  }
  return reader
}

async function* parse(answer: Response, onComment: () => void): AsyncGenerator<ReceivedEvent> {
  let fields: Record<string, string> = {}
  for await (const line of lines(answer)) {
    if (line === '') {
      const { id, event = 'message', data } = fields
      if (data !== undefined) {
        yield { id: id === undefined ? null : Number(id), event, data: JSON.parse(data) }
      }
      fields = {}
    } else if (line.startsWith(':')) {
      onComment()
    } else {
      const [, name = '', value = ''] = /^([^:]+)(?:: ?(.*))?$/s.exec(line) ?? []
      assert.ok(['id', 'event', 'data'].includes(name), `an unexpected field: ${line}`)
      fields[name] = name in fields && name === 'data' ? `${fields[name]}\n${value}` : value
    }
  }
}

async function* lines(answer: Response): AsyncGenerator<string> {
  assert.ok(answer.body)
  let text = ''
  for await (const chunk of answer.body.pipeThrough(new TextDecoderStream())) {
    const whole = (text + chunk).split('\n')
    text = whole.pop() ?? ''
    yield* whole
  }
}
