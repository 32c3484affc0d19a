/** Tar archives, plain and gzipped, that lie: each is refused by code, whole or in part. */
import assert from 'node:assert/strict'
import {
  cutOff,
  gzip,
  paxRecord,
  rawTar,
  type TarBlock,
  type TarMember,
  tarOf
} from '../../support/archives.ts'
import { flatImage } from '../../support/images.ts'
import { type ImportCase, testImports, twoClasses } from '../../support/imports.ts'

const invalid = 'ARCHIVE_ENTRY_INVALID'
const octal = (length: number) => length.toString(8).padStart(11, '0')

/** Two good images by tar-stream, and what is bad. */
const tarWith =
  (...bad: readonly TarMember[]) =>
  async () =>
    tarOf([...(await twoClasses()), ...bad])

/** Two good images and what is bad, all by hand. */
const rawWith =
  (...bad: readonly TarBlock[]) =>
  async () => {
    const good = (await twoClasses()).map((image) => ({
      ...image,
      size: octal(image.bytes.length)
    }))
    return rawTar([...good, ...bad])
  }

/** An image whose header says `more`. */
const odd = (more: Partial<TarBlock>, pax?: Buffer) => async () => {
  const bytes = await flatImage(90)
  const image = { name: 'cat/x.png', size: octal(bytes.length), bytes, ...more }
  const extension = pax && { name: 'pax', size: octal(pax.length), type: 'x', bytes: pax }
  return rawWith(...(extension ? [extension] : []), image)()
}

const longName = `cat/${'n'.repeat(5000)}.png`
const shortened = `${longName.slice(0, 299)}…`

const entries: readonly ImportCase[] = [
  {
    name: 'an absolute name',
    archive: odd({ name: '/etc/x.png' }),
    faults: { '/etc/x.png': invalid }
  },
  {
    name: 'a name that climbs',
    archive: odd({ name: '../x.png' }),
    faults: { '../x.png': invalid }
  },
  {
    name: 'a pax name that climbs above an innocent one',
    archive: odd({}, paxRecord('path', '../../x.png')),
    faults: { '../../x.png': invalid }
  },
  {
    name: 'a pax name with a NUL',
    archive: odd({}, paxRecord('path', 'cat/\0.png')),
    faults: { 'cat/\0.png': invalid }
  },
  {
    name: 'a pax name of 5000 characters',
    archive: tarWith({ name: longName, bytes: Buffer.from('x') }),
    faults: { [shortened]: invalid }
  },
  {
    name: 'a symbolic link',
    archive: tarWith({ name: 'cat/link.png', type: 'symlink', linkname: '/etc/passwd' }),
    faults: { 'cat/link.png': invalid }
  },
  {
    name: 'a hard link',
    archive: tarWith({ name: 'cat/link.png', type: 'link', linkname: 'cat/1.png' }),
    faults: { 'cat/link.png': invalid }
  },
  {
    name: 'devices and a pipe',
    archive: tarWith(
      { name: 'cat/c', type: 'character-device' },
      { name: 'cat/b', type: 'block-device' },
      { name: 'cat/p', type: 'fifo' }
    ),
    faults: { 'cat/c': invalid, 'cat/b': invalid, 'cat/p': invalid }
  },
  { name: 'an unknown type', archive: odd({ type: 'S' }), faults: { 'cat/x.png': invalid } },
  {
    name: 'an empty file',
    archive: tarWith({ name: 'cat/e.png' }),
    faults: { 'cat/e.png': 'IMAGE_FORMAT_UNSUPPORTED' }
  },
  {
    name: 'a broken pax record',
    archive: odd({}, Buffer.from('no pax record at all')),
    kept: 3
  }
]

const unreadable = { error: 'ARCHIVE_UNREADABLE' } as const
const base256 = (...bytes: number[]) =>
  Buffer.from([...Array(12 - bytes.length).fill(bytes[0]), ...bytes])

const whole: readonly ImportCase[] = [
  {
    name: 'a size of 8 GiB that is not there',
    archive: odd({ size: '77777777777' }),
    ...unreadable
  },
  {
    name: 'a size of 2^88',
    archive: odd({ size: Buffer.from(`8001${'00'.repeat(10)}`, 'hex') }),
    ...unreadable
  },
  { name: 'a negative size', archive: odd({ size: base256(0xff, 0xfe) }), ...unreadable },
  { name: 'a size that is no number', archive: odd({ size: 'zzzzzzzzzzz' }), ...unreadable },
  {
    name: 'a pax size that is negative',
    archive: odd({}, paxRecord('size', '-512')),
    ...unreadable
  },
  {
    name: 'a pax size that is no number',
    archive: odd({}, paxRecord('size', 'many')),
    ...unreadable
  },
  {
    name: 'a pax size beyond all numbers',
    archive: odd({}, paxRecord('size', '9'.repeat(400))),
    ...unreadable
  },
  {
    name: 'a pax header of 2 GiB',
    archive: rawWith({ name: 'pax', type: 'x', size: octal(2 ** 31) }),
    ...unreadable
  },
  { name: 'a folder with contents', archive: odd({ name: 'cat/more/', type: '5' }), ...unreadable },
  { name: 'a tar that is cut off', archive: async () => cutOff(await tarWith()()), ...unreadable },
  {
    name: 'a wrong header checksum',
    archive: async () => {
      const tar = await tarWith()()
      tar[1024 + 3] = 0x7a
      return tar
    },
    ...unreadable
  },
  {
    name: 'a tar.gz that is cut off',
    archive: async () => cutOff(gzip(await tarWith()())),
    ...unreadable
  },
  {
    name: 'a tar.gz with a wrong CRC',
    archive: async () => {
      const packed = gzip(await tarWith()())
      packed.writeUInt32LE(1, packed.length - 8)
      return packed
    },
    ...unreadable
  },
  {
    name: 'a gzip that is no tar',
    archive: () => gzip(Buffer.from('text '.repeat(500))),
    ...unreadable
  },
  {
    name: 'a gzip header alone',
    archive: () => gzip(Buffer.alloc(9)).subarray(0, 10),
    ...unreadable
  }
]

/** A tar.gz around one endless entry, of 2 GiB: gzip members one after the other. */
const endless = async () => {
  const zeros = gzip(Buffer.alloc(2 ** 25))
  const start = (await rawWith({ name: 'cat/x.png', size: octal(2 ** 31) })()).subarray(0, -1024)
  return Buffer.concat([gzip(start), ...Array.from({ length: 64 }, () => zeros)])
}
const ofRule = (rule: RegExp): Pick<ImportCase, 'error' | 'also'> => ({
  error: 'ARCHIVE_LIMIT',
  also: ({ error }) => assert.match(error?.detail ?? '', rule)
})

const limits: readonly ImportCase[] = [
  {
    name: 'a gzip bomb',
    archive: endless,
    limits: { ratioFrom: 2 ** 20 },
    ...ofRule(/200 times its size/)
  },
  {
    name: 'a gzip bomb by bytes',
    archive: endless,
    limits: { totalBytes: 2 ** 20 },
    ...ofRule(/1048576 bytes together/)
  },
  {
    name: 'an importer that takes too long',
    archive: endless,
    limits: { ratio: 1e9, seconds: 0 },
    ...ofRule(/at most 0 s/)
  },
  {
    name: 'an importer that takes too much memory',
    archive: endless,
    limits: { ratio: 1e9, memoryMiB: 20 },
    ...ofRule(/at most 20 MiB/)
  },
  {
    name: 'too many entries',
    archive: tarWith({ name: 'c' }, { name: 'd' }),
    limits: { entries: 3 },
    ...ofRule(/at most 3 entries/)
  },
  {
    name: 'an entry of too many bytes, before a good one',
    archive: async () =>
      tarOf([{ name: 'cat/large.png', bytes: Buffer.alloc(3e5) }, ...(await twoClasses())]),
    limits: { entryBytes: 1e5 },
    faults: { 'cat/large.png': invalid }
  }
]

testImports([...entries, ...whole, ...limits])
