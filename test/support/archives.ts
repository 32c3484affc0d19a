/** Zip and tar archives as no decent program writes them: any name, any header, any damage. */
import { gzipSync } from 'node:zlib'
import { type Header, pack } from 'tar-stream'
import { ZipFile } from 'yazl'

export interface ZipMember {
  /** Written as it is, in place of the decent name that yazl asks for. */
  readonly name: string | Buffer
  readonly bytes?: Uint8Array
  /** Unix mode, type included. */
  readonly mode?: number
  /** Fields of both headers that are to lie (APPNOTE 4.3.7, 4.3.12). */
  readonly flags?: number
  readonly method?: number
  readonly crc?: number
  readonly size?: number
}

/** A zip by yazl, its headers then changed as the members ask. */
export async function zipOf(members: readonly ZipMember[]): Promise<Buffer<ArrayBuffer>> {
  const zip = new ZipFile()
  for (const { name, bytes = Buffer.alloc(0), mode = 0o100644 } of members) {
    zip.addBuffer(Buffer.from(bytes), 'x'.repeat(Buffer.byteLength(name)), { mode })
  }
  zip.end()
  const whole = Buffer.concat((await Array.fromAsync(zip.outputStream)) as Buffer[])
  // The end record holds where the central directory begins; yazl writes no comment.
  let at = whole.readUInt32LE(whole.length - 22 + 16)
  for (const member of members) {
    const local = whole.readUInt32LE(at + 42)
    change(whole, { flags: at + 8, name: at + 46 }, member)
    change(whole, { flags: local + 6, name: local + 30 }, member)
    at += 46 + [28, 30, 32].reduce((sum, field) => sum + whole.readUInt16LE(at + field), 0)
  }
  return whole
}

function change(zip: Buffer, at: { flags: number; name: number }, member: ZipMember): void {
  zip.set(Buffer.from(member.name as string), at.name)
  if (member.flags !== undefined) zip.writeUInt16LE(member.flags, at.flags)
  if (member.method !== undefined) zip.writeUInt16LE(member.method, at.flags + 2)
  if (member.crc !== undefined) zip.writeUInt32LE(member.crc, at.flags + 8)
  if (member.size !== undefined) zip.writeUInt32LE(member.size, at.flags + 16)
}

export type TarMember = Partial<Header> & {
  readonly name: string
  readonly bytes?: Uint8Array
}

/** A tar by tar-stream, names in pax headers where they need it. */
export async function tarOf(members: readonly TarMember[]): Promise<Buffer<ArrayBuffer>> {
  const tar = pack()
  for (const { bytes, ...header } of members) {
    tar.entry(header, bytes === undefined ? '' : Buffer.from(bytes))
  }
  tar.finalize()
  return Buffer.concat((await Array.fromAsync(tar)) as Buffer[])
}

export interface TarBlock {
  readonly name: string | Buffer
  /** As written: octal digits, or what takes their place. */
  readonly size: string | Buffer
  /** POSIX type flag. */
  readonly type?: string
  readonly bytes?: Uint8Array
}

/** A tar by hand, for headers that tar-stream refuses to write; checksums are right (POSIX ustar). */
export function rawTar(blocks: readonly TarBlock[]): Buffer<ArrayBuffer> {
  const parts = blocks.flatMap(({ name, size, type = '0', bytes = Buffer.alloc(0) }) => {
    const header = Buffer.alloc(512)
    header.set(Buffer.from(name as string), 0)
    header.write('0000644\x000000000\x000000000\0', 100, 'latin1')
    header.set(Buffer.from(size as string), 124)
    header.write(`00000000000\0${' '.repeat(8)}${type}`, 136, 'latin1')
    header.write('ustar\x0000', 257, 'latin1')
    const sum = header.reduce((total, byte) => total + byte, 0)
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
    return [header, bytes, Buffer.alloc(-bytes.length & 511)]
  })
  return Buffer.concat([...parts, Buffer.alloc(1024)])
}

/** One record of a pax header (POSIX pax, "extended header"): its length counts itself. */
export function paxRecord(key: string, value: string): Buffer {
  const rest = Buffer.byteLength(` ${key}=${value}\n`)
  let length = rest
  while (length !== rest + String(length).length) length = rest + String(length).length
  return Buffer.from(`${length} ${key}=${value}\n`)
}

export const gzip = (bytes: Uint8Array): Buffer<ArrayBuffer> => gzipSync(bytes)

/** All but the last `share` of the bytes. */
export const cutOff = <T extends Uint8Array>(bytes: T, share = 0.5): Uint8Array =>
  bytes.subarray(0, Math.floor(bytes.length * (1 - share)))

/** The first place where `from` stands gets `to`, of the same length. */
export function patched(bytes: Buffer, from: string, to: string): Buffer {
  const at = bytes.indexOf(from, 0, 'latin1')
  if (at < 0 || from.length !== to.length) throw new Error(`There is no ${from} to be replaced`)
  const copy = Buffer.from(bytes)
  copy.write(to, at, 'latin1')
  return copy
}
