/**
 * Follows a job by server-sent events to its end, and resumes where it was whenever the stream breaks
 * (WHATWG HTML, section 9.2: `Last-Event-ID`).
 */
import { setTimeout as sleep } from 'node:timers/promises'

export interface SeenEvent {
  /** Null for the last one, `end`. */
  readonly id: number | null
  readonly type: string
  readonly data: string
}

const resumeAfterMs = 200

export class Follower {
  readonly events: SeenEvent[] = []
  readonly #url: string
  readonly #leaving = new AbortController()
  readonly #done: Promise<void>

  constructor(url: string) {
    this.#url = url
    this.#done = this.#follow()
  }

  get hasEnded(): boolean {
    return this.events.at(-1)?.type === 'end'
  }

  async leave(): Promise<void> {
    this.#leaving.abort()
    await this.#done
  }

  async #follow(): Promise<void> {
    const { signal } = this.#leaving
    while (!this.hasEnded && !signal.aborted) {
      const after = this.events.at(-1)?.id ?? 0
      try {
        for await (const event of readEvents(this.#url, after, signal)) this.events.push(event)
      } catch {
        // Broken off, like every connection to a process that dies; it is resumed.
      }
      await sleep(resumeAfterMs)
    }
  }
}

/** The events of a job after a row, until the answer ends. @throws TypeError when it breaks off */
export async function* readEvents(
  url: string,
  after: number,
  signal: AbortSignal
): AsyncGenerator<SeenEvent> {
  const headers = { 'last-event-id': String(after) }
  const { body, ok } = await fetch(url, { headers, signal })
  if (!ok || body === null) return void (await body?.cancel())
  let text = ''
  for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
    const blocks = (text + chunk).split('\n\n')
    text = blocks.pop() ?? ''
    yield* blocks.flatMap(parse)
  }
}

function parse(block: string): SeenEvent[] {
  const field = (name: string): string | undefined =>
    new RegExp(`^${name}: ?(.*)$`, 'm').exec(block)?.[1]
  const [type, data, id] = [field('event'), field('data'), field('id')]
  if (type === undefined || data === undefined) return []
  return [{ id: id === undefined ? null : Number(id), type, data }]
}
