/**
 * Reading a pack by position. Pixels stay on disk (the page cache is the cache); labels are in memory.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import Value from 'typebox/value'
import type { ImageSource } from '../image/source.ts'
import {
  imageBytes,
  imageCount,
  PackTrailer,
  packEnd,
  packMagic,
  type Split,
  splits
} from './pack-file.ts'

export interface Pack {
  /** Side in pixels. */
  readonly size: number
  readonly channels: 1 | 3
  /** Class names in class-index order. */
  readonly labels: readonly string[]
  readonly train: ImageSource
  readonly validation: ImageSource
  readonly test: ImageSource
  /** Of all pixels of the train split, 0..255. */
  readonly mean: number
  /** Of all pixels of the train split, in levels; at least 1. */
  readonly std: number
  /** Closes the file; sources must not be read afterwards. */
  close(): void
}

/** @throws Error when the file is no pack, of another form, or shorter than it says. */
export function openPack(file: string): Pack {
  const fd = openSync(file, 'r')
  try {
    const trailer = readTrailer(fd, file)
    const sources = openSources(fd, trailer)
    const { size, channels, labels, mean, std } = trailer
    return { size, channels, labels, mean, std, ...sources, close: () => closeSync(fd) }
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

function readTrailer(fd: number, file: string): PackTrailer {
  const { size: bytes } = fstatSync(fd)
  const damaged = (reason: string) =>
    new Error(`Cannot open the pack ${file}: ${reason}, received ${bytes} bytes`)
  if (bytes < packEnd) throw damaged('it is too short')
  const end = readExactly(fd, packEnd, bytes - packEnd)
  if (!end.subarray(4).equals(packMagic)) throw damaged('it does not end as a pack does')
  const length = end.readUInt32LE()
  if (length > bytes - packEnd) throw damaged('its description is cut off')
  const text = readExactly(fd, length, bytes - packEnd - length).toString()
  const trailer: unknown = JSON.parse(text)
  if (!Value.Check(PackTrailer, trailer)) throw damaged('its description is invalid')
  const images = imageCount(trailer)
  const expected = images * (imageBytes(trailer) + 4) + length + packEnd
  if (bytes !== expected) throw damaged(`it must have ${expected} bytes`)
  return trailer
}

function openSources(fd: number, trailer: PackTrailer): Record<Split, ImageSource> {
  const each = imageBytes(trailer)
  const images = imageCount(trailer)
  const raw = readExactly(fd, images * 4, images * each)
  const labels = Int32Array.from({ length: images }, (_, i) => raw.readInt32LE(i * 4))
  let first = 0
  const source = (split: Split): ImageSource => {
    const from = first
    const count = trailer.counts[split]
    first += count
    return {
      count,
      size: trailer.size,
      channels: trailer.channels,
      labels: labels.slice(from, from + count),
      read: (positions, into) => readImages({ fd, each, from, count }, positions, into)
    }
  }
  const [train, validation, test] = splits.map(source) as [ImageSource, ImageSource, ImageSource]
  return { train, validation, test }
}

interface Region {
  readonly fd: number
  /** Bytes of one image. */
  readonly each: number
  /** Index of the region's first image in the file, and its number of images. */
  readonly from: number
  readonly count: number
}

function readImages(region: Region, positions: ArrayLike<number>, into: Uint8Array): void {
  const { fd, each, from, count } = region
  const n = positions.length
  if (into.length < n * each) {
    throw new RangeError(
      `Cannot read ${n} images: ${n * each} bytes are needed, received ${into.length}`
    )
  }
  for (let i = 0; i < n; ) {
    const start = positions[i] ?? -1
    let run = 1
    // Neighbours on disk are read at once: evaluation walks through the file in order.
    while (i + run < n && positions[i + run] === start + run) run++
    if (!(Number.isInteger(start) && start >= 0 && start + run <= count)) {
      throw new RangeError(`Cannot read an image: positions are 0..${count - 1}, received ${start}`)
    }
    readInto(fd, into.subarray(i * each, (i + run) * each), (from + start) * each)
    i += run
  }
}

function readExactly(fd: number, length: number, position: number): Buffer {
  const buffer = Buffer.alloc(length)
  readInto(fd, buffer, position)
  return buffer
}

function readInto(fd: number, into: Uint8Array, position: number): void {
  for (let at = 0; at < into.length; ) {
    const read = readSync(fd, into, at, into.length - at, position + at)
    if (read === 0) throw new Error(`Cannot read the pack: it ends before byte ${position + at}`)
    at += read
  }
}
