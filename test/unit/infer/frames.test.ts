import assert from 'node:assert/strict'
import { type Duplex, PassThrough } from 'node:stream'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Seen } from '../../../src/contract/sketch.ts'
import {
  readAnswer,
  readFrames,
  readQuestion,
  writeAnswer,
  writeQuestion
} from '../../../src/infer/frames.ts'
import type { Question, Verdict } from '../../../src/infer/messages.ts'
import { SharedBytesReader } from '../../../src/infer/shared-bytes.ts'

const question = fc.record({
  form: fc.constantFrom('encoded' as const, 'pixels' as const),
  bytes: fc.uint8Array({ maxLength: 300 }),
  top: fc.option(fc.nat(10_000)),
  digest: fc.boolean()
})
const float = fc.float({ noNaN: true })
const verdict: fc.Arbitrary<Verdict> = fc.oneof(
  fc
    .array(fc.tuple(fc.nat(10_000), float), { maxLength: 9 })
    .map((pairs) => ({ classes: pairs.map(([c]) => c), scores: pairs.map(([, s]) => s) })),
  fc.array(float, { maxLength: 9 }).map((all) => ({ all: Float32Array.from(all) })),
  fc.record({ code: fc.string(), detail: fc.string() }, { noNullPrototype: true })
)
const seen: fc.Arbitrary<Seen | null> = fc.option(
  fc.record(
    {
      predicted: fc.nat(10_000),
      score: float,
      brightness: float,
      contrast: float,
      channels: fc.oneof(fc.constant([]), fc.tuple(float, float, float)),
      sha256: fc.option(
        fc
          .uint8Array({ minLength: 32, maxLength: 32 })
          .map((bytes) => Buffer.from(bytes).toString('hex'))
      )
    },
    { noNullPrototype: true }
  )
)
const double = fc.double({ noNaN: true })
const times = fc.record(
  { inputMs: double, inferMs: double, outputMs: double },
  { noNullPrototype: true }
)

/** What was written, cut where a socket might cut it; every frame that is read from it. */
function through(write: (to: Duplex) => void, cuts: readonly number[]): Buffer[] {
  const written: Uint8Array[] = []
  const to = { cork() {}, uncork() {}, write: (chunk: Uint8Array) => written.push(chunk) }
  write(to as unknown as Duplex)
  const bytes = Buffer.concat(written)
  const from = new PassThrough()
  const frames: Buffer[] = []
  readFrames(from, (frame) => frames.push(frame))
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length]
  places.sort((a, b) => a - b)
  for (const [i, end] of places.slice(1).entries()) {
    const chunk = bytes.subarray(places[i], end)
    if (chunk.length > 0) from.emit('data', Buffer.from(chunk))
  }
  return frames
}

/** Nothing but frames is read here. */
const unread = new SharedBytesReader(-1)

const plain = ({ form, bytes, top, digest }: Question) => ({ form, bytes: [...bytes], top, digest })

test('questions come out as they went in, however the stream is cut', () => {
  const batches = fc.array(fc.array(question, { minLength: 1, maxLength: 5 }), { maxLength: 5 })
  fc.assert(
    fc.property(batches, fc.array(fc.nat()), (all, cuts) => {
      const frames = through((to) => {
        for (const [id, questions] of all.entries()) writeQuestion(to, { id, questions }, null)
      }, cuts)
      const read = frames.map((frame) => readQuestion(frame, unread))
      assert.deepEqual(
        read.map(({ id, questions }) => [id, questions.map(plain)]),
        all.map((questions, id) => [id, questions.map(plain)])
      )
    })
  )
})

test('answers come out as they went in, however the stream is cut', () => {
  const answers = fc.array(
    fc.tuple(fc.array(fc.tuple(verdict, seen), { maxLength: 5 }), times).map(([pairs, times]) => ({
      verdicts: pairs.map(([one]) => one),
      seen: pairs.map(([, one]) => one),
      times
    })),
    { maxLength: 5 }
  )
  fc.assert(
    fc.property(answers, fc.array(fc.nat()), (all, cuts) => {
      const frames = through((to) => {
        for (const [id, answer] of all.entries()) writeAnswer(to, id, answer)
      }, cuts)
      assert.deepEqual(
        frames.map(readAnswer),
        all.map((answer, id) => ({ id, ...answer }))
      )
    })
  )
})
