/**
 * Takes chosen files out of a wheel (a zip), streaming: 60 lines instead of asking for an unzip program.
 *
 * Reads the central directory (APPNOTE.TXT 4.3.12) from the end. Without zip64: a wheel stays below
 * 4 GiB. The wheel's hash has been checked, so entries are trusted, but for their paths.
 */
import { createReadStream, createWriteStream, mkdirSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createInflateRaw } from 'node:zlib'

const endSignature = 0x06054b50
const entrySignature = 0x02014b50

/** Extracts every entry whose name passes `wanted` into a folder. Returns how many. */
export async function extract(file, folder, wanted) {
  const handle = await open(file)
  try {
    const entries = (await readDirectory(handle)).filter(
      ({ name }) => !name.endsWith('/') && !name.split('/').includes('..') && wanted(name)
    )
    for (const entry of entries) await extractEntry(handle, file, entry, join(folder, entry.name))
    return entries.length
  } finally {
    await handle.close()
  }
}

async function readDirectory(handle) {
  const { size } = await handle.stat()
  const tail = await readAt(handle, Math.max(0, size - 65_557), Math.min(size, 65_557))
  let end = tail.length - 22
  while (end >= 0 && tail.readUInt32LE(end) !== endSignature) end--
  if (end < 0) throw new Error('not a zip archive')
  const directory = await readAt(handle, tail.readUInt32LE(end + 16), tail.readUInt32LE(end + 12))
  const entries = []
  for (let at = 0; at + 46 <= directory.length; ) {
    if (directory.readUInt32LE(at) !== entrySignature) throw new Error('damaged zip directory')
    const nameLength = directory.readUInt16LE(at + 28)
    entries.push({
      method: directory.readUInt16LE(at + 10),
      compressed: directory.readUInt32LE(at + 20),
      offset: directory.readUInt32LE(at + 42),
      name: directory.toString('utf8', at + 46, at + 46 + nameLength)
    })
    at += 46 + nameLength + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32)
  }
  return entries
}

async function extractEntry(handle, file, { method, compressed, offset }, target) {
  // The local header repeats the name, and its extra field may have another length.
  const header = await readAt(handle, offset, 30)
  const start = offset + 30 + header.readUInt16LE(26) + header.readUInt16LE(28)
  mkdirSync(dirname(target), { recursive: true })
  const out = createWriteStream(target)
  if (compressed === 0) return void out.end()
  const bytes = createReadStream(file, { start, end: start + compressed - 1 })
  if (method === 0) return pipeline(bytes, out)
  if (method !== 8) throw new Error(`zip method ${method} is not known`)
  return pipeline(bytes, createInflateRaw(), out)
}

async function readAt(handle, position, length) {
  const buffer = Buffer.alloc(length)
  const { bytesRead } = await handle.read(buffer, 0, length, position)
  return buffer.subarray(0, bytesRead)
}
