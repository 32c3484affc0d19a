/**
 * How questions and answers cross between the api and an engine: frames on a Unix socket pair.
 *
 * A frame is its length as uint32, then as many bytes; all numbers are little-endian. Images travel as they
 * are, behind each other, written without being copied together; large ones lie in memory that both sides share
 * (`shared-bytes.ts`), and the frame says where. The channel of `fork` would serialize them instead, and read
 * them in pieces that are then put together in JavaScript.
 */
import type { Duplex } from 'node:stream'
import type { Seen } from '../contract/sketch.ts'
import type { Question, Verdict } from './messages.ts'
import type { SharedBytesReader, Slot } from './shared-bytes.ts'
import type { BatchTimes } from './statistics.ts'

export interface BatchQuestion {
  readonly id: number
  readonly questions: readonly Question[]
}

export interface BatchAnswer {
  readonly verdicts: readonly Verdict[]
  /** One for each verdict; null where the image was refused. */
  readonly seen: readonly (Seen | null)[]
  readonly times: BatchTimes
}

/** Bytes of a batch before its questions: id, how many they are, where their images are. */
const batchHead = 10
/** Bytes of a frame that is put together before it is written: one write costs more than copying so few. */
const worthWhole = 16 * 1024
/** In place of where: the images are in the frame. */
const inFrame = 0xffff_ffff
/** Bytes of a question before its image: flags, `top`, bytes of the image. */
const questionHead = 10
/** Stands for `top: null`. */
const all = 0xffff_ffff
/** In place of the number of channels, where there is nothing to be seen. */
const refused = 0xff
const flags = { pixels: 1, digest: 2 } as const
const kinds = { best: 0, all: 1, refused: 2 } as const

/** @param slot where the images are; null has them sent in the frame */
export function writeQuestion(
  to: Duplex,
  { id, questions }: BatchQuestion,
  slot: Slot | null
): void {
  const heads = Buffer.allocUnsafe(4 + batchHead + questionHead * questions.length)
  let at = heads.writeUInt16LE(questions.length, heads.writeUInt32LE(id, 4))
  at = heads.writeUInt32LE(slot?.at ?? inFrame, at)
  let length = heads.length
  for (const { bytes, form = 'encoded', top, digest = false } of questions) {
    const flag = (form === 'pixels' ? flags.pixels : 0) | (digest ? flags.digest : 0)
    at = heads.writeUInt16LE(flag, at)
    at = heads.writeUInt32LE(top ?? all, at)
    at = heads.writeUInt32LE(bytes.length, at)
    if (slot === null) length += bytes.length
  }
  heads.writeUInt32LE(length - 4, 0)
  const parts = slot === null ? [heads, ...questions.map(({ bytes }) => bytes)] : [heads]
  if (length <= worthWhole) {
    to.write(Buffer.concat(parts))
    return
  }
  to.cork()
  for (const part of parts) to.write(part)
  to.uncork()
}

/**
 * @param frame without its length
 * @returns images are parts of the frame, or of what `shared` keeps until the next is read
 */
export function readQuestion(frame: Buffer, shared: SharedBytesReader): BatchQuestion {
  const n = frame.readUInt16LE(4)
  const heads = Array.from({ length: n }, (_, i) => readHead(frame, batchHead + questionHead * i))
  const end = batchHead + questionHead * n
  const at = frame.readUInt32LE(6)
  const total = heads.reduce((sum, { length }) => sum + length, 0)
  const images = at === inFrame ? frame.subarray(end) : shared.read({ at }, total)
  let next = 0
  const questions = heads.map(({ length, ...question }): Question => {
    next += length
    return { ...question, bytes: images.subarray(next - length, next) }
  })
  return { id: frame.readUInt32LE(0), questions }
}

function readHead(frame: Buffer, at: number): Omit<Question, 'bytes'> & { length: number } {
  const flag = frame.readUInt16LE(at)
  const top = frame.readUInt32LE(at + 2)
  return {
    form: flag & flags.pixels ? 'pixels' : 'encoded',
    top: top === all ? null : top,
    digest: (flag & flags.digest) !== 0,
    length: frame.readUInt32LE(at + 6)
  }
}

export function writeAnswer(to: Duplex, id: number, { verdicts, seen, times }: BatchAnswer): void {
  const head = Buffer.allocUnsafe(34)
  head.writeUInt32LE(id, 4)
  head.writeDoubleLE(times.inputMs, 8)
  head.writeDoubleLE(times.inferMs, 16)
  head.writeDoubleLE(times.outputMs, 24)
  head.writeUInt16LE(verdicts.length, 32)
  const whole = Buffer.concat([head, ...verdicts.map(verdictBytes), ...seen.map(seenBytes)])
  whole.writeUInt32LE(whole.length - 4, 0)
  to.write(whole)
}

export function readAnswer(frame: Buffer): BatchAnswer & { readonly id: number } {
  const times = {
    inputMs: frame.readDoubleLE(4),
    inferMs: frame.readDoubleLE(12),
    outputMs: frame.readDoubleLE(20)
  }
  let at = 30
  const verdicts = Array.from({ length: frame.readUInt16LE(28) }, (): Verdict => {
    const [kind, count] = [frame.readUInt16LE(at), frame.readUInt32LE(at + 2)]
    const data = at + 6
    if (kind === kinds.refused) {
      at = data + count
      return JSON.parse(frame.toString('utf8', data, at))
    }
    if (kind === kinds.all) {
      at = data + 4 * count
      return { all: floats(frame, data, count) }
    }
    const classes = Array.from({ length: count }, (_, i) => frame.readUInt32LE(data + 4 * i))
    at = data + 8 * count
    return { classes, scores: [...floats(frame, data + 4 * count, count)] }
  })
  const seen = verdicts.map((): Seen | null => {
    const [channels, digest] = [frame.readUInt8(at), frame.readUInt8(at + 1)]
    at += 2
    if (channels === refused) return null
    const predicted = frame.readUInt32LE(at)
    const [score = 0, brightness = 0, contrast = 0, ...means] = floats(frame, at + 4, 3 + channels)
    at += 16 + 4 * channels
    const sha256 = digest === 0 ? null : frame.toString('hex', at, at + digest)
    at += digest
    return { predicted, score, brightness, contrast, channels: means, sha256 }
  })
  return { id: frame.readUInt32LE(0), verdicts, seen, times }
}

function verdictBytes(verdict: Verdict): Buffer {
  if ('code' in verdict) {
    const text = Buffer.from(JSON.stringify(verdict))
    return Buffer.concat([verdictHead(kinds.refused, text.length), text])
  }
  if ('all' in verdict) {
    const { buffer, byteOffset, byteLength, length } = verdict.all
    const data = Buffer.from(buffer, byteOffset, byteLength)
    return Buffer.concat([verdictHead(kinds.all, length), data])
  }
  const { classes, scores } = verdict
  const data = Buffer.allocUnsafe(8 * classes.length)
  for (const [i, index] of classes.entries()) data.writeUInt32LE(index, 4 * i)
  for (const [i, score] of scores.entries()) data.writeFloatLE(score, 4 * (classes.length + i))
  return Buffer.concat([verdictHead(kinds.best, classes.length), data])
}

/** Channels and bytes of the digest; then the class, three floats and one for each channel, the digest. */
function seenBytes(seen: Seen | null): Buffer {
  if (seen === null) return Buffer.of(refused, 0)
  const { predicted, score, brightness, contrast, channels, sha256 } = seen
  const digest = sha256 === null ? 0 : sha256.length / 2
  const bytes = Buffer.allocUnsafe(18 + 4 * channels.length + digest)
  let at = bytes.writeUInt8(digest, bytes.writeUInt8(channels.length, 0))
  at = bytes.writeUInt32LE(predicted, at)
  for (const value of [score, brightness, contrast, ...channels]) at = bytes.writeFloatLE(value, at)
  if (sha256 !== null) bytes.write(sha256, at, 'hex')
  return bytes
}

function verdictHead(kind: number, count: number): Buffer {
  const head = Buffer.allocUnsafe(6)
  head.writeUInt32LE(count, head.writeUInt16LE(kind, 0))
  return head
}

/** A copy, since the place in the frame need not be a multiple of four. */
function floats(frame: Buffer, at: number, count: number): Float32Array {
  const start = frame.byteOffset + at
  return new Float32Array(frame.buffer.slice(start, start + 4 * count))
}

/**
 * Calls `onFrame` with every whole frame that comes, without its length. What lies in one piece is not
 * copied; what comes in several is put together in a buffer of its own.
 */
export function readFrames(from: Duplex, onFrame: (frame: Buffer) => void): void {
  let rest: Buffer = Buffer.alloc(0)
  let frame: Buffer | undefined
  let filled = 0
  const take = (chunk: Buffer): void => {
    let at = 0
    while (at < chunk.length) {
      if (frame === undefined) {
        if (chunk.length - at < 4) break
        const length = chunk.readUInt32LE(at)
        at += 4
        if (chunk.length - at >= length) {
          onFrame(chunk.subarray(at, at + length))
          at += length
          continue
        }
        frame = Buffer.allocUnsafeSlow(length)
        filled = 0
      }
      const copied = chunk.copy(frame, filled, at)
      filled += copied
      at += copied
      if (filled === frame.length) {
        const whole = frame
        frame = undefined
        onFrame(whole)
      }
    }
    rest = frame === undefined ? chunk.subarray(at) : Buffer.alloc(0)
  }
  from.on('data', (chunk: Buffer) => {
    take(rest.length === 0 ? chunk : Buffer.concat([rest, chunk]))
  })
}
