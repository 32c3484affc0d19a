/** Zip archives that lie about names, sizes and contents: each is refused by code, whole or in part. */
import { deflateRawSync } from 'node:zlib'
import { cutOff, patched, tarOf, type ZipMember, zipOf } from '../../support/archives.ts'
import { flatImage } from '../../support/images.ts'
import { type ImportCase, testImports, twoClasses } from '../../support/imports.ts'

const invalid = 'ARCHIVE_ENTRY_INVALID'
const zeros = (length: number) => Buffer.alloc(length)

/** Two good images, and what is bad. */
const zipWith =
  (...bad: readonly ZipMember[]) =>
  async () =>
    zipOf([...(await twoClasses()), ...bad])

/** An image of its own under a bad name. */
const named =
  (name: string | Buffer, more: Partial<ZipMember> = {}) =>
  async () =>
    zipOf([...(await twoClasses()), { name, bytes: await flatImage(90), ...more }])

const deep = `${'d/'.repeat(17)}x.png`
const long = `cat/${'n'.repeat(1100)}.png`

const names: readonly ImportCase[] = [
  {
    name: 'a path that climbs',
    archive: named('../../etc/x.png'),
    faults: { '../../etc/x.png': invalid }
  },
  {
    name: 'a path that climbs later',
    archive: named('cat/../../x.png'),
    faults: { 'cat/../../x.png': invalid }
  },
  {
    name: 'a path that climbs by backslashes',
    archive: named('..\\..\\x.png'),
    faults: { '../../x.png': invalid }
  },
  { name: 'an absolute path', archive: named('/etc/x.png'), faults: { '/etc/x.png': invalid } },
  { name: 'a drive', archive: named('C:\\cat\\x.png'), faults: { 'C:/cat/x.png': invalid } },
  {
    name: 'a share',
    archive: named('\\\\host\\cat\\x.png'),
    faults: { '//host/cat/x.png': invalid }
  },
  { name: 'a NUL in a name', archive: named('cat/x\0.png'), faults: { 'cat/x\0.png': invalid } },
  { name: 'a very deep path', archive: named(deep), faults: { [deep]: invalid } },
  {
    name: 'a very long path',
    archive: named(long),
    faults: { [`${long.slice(0, 299)}…`]: invalid }
  },
  {
    name: 'a folder name that is no UTF-8 although it says so',
    archive: named(Buffer.from('k\xe4t/x.png', 'latin1')),
    faults: { 'k\uFFFDt/x.png': 'LABEL_INVALID' }
  },
  { name: 'backslashes as separators', archive: named('cat\\x.png'), kept: 3 }
]

const kinds: readonly ImportCase[] = [
  {
    name: 'a symbolic link',
    archive: zipWith({ name: 'cat/link.png', bytes: Buffer.from('/etc/passwd'), mode: 0o120777 }),
    faults: { 'cat/link.png': invalid }
  },
  {
    name: 'a device',
    archive: zipWith({ name: 'cat/device.png', mode: 0o020666 }),
    faults: { 'cat/device.png': invalid }
  },
  {
    name: 'an encrypted entry',
    archive: named('cat/x.png', { flags: 0x801 }),
    faults: { 'cat/x.png': invalid }
  },
  {
    name: 'an unknown compression method',
    archive: named('cat/x.png', { method: 99 }),
    faults: { 'cat/x.png': invalid }
  },
  {
    name: 'a wrong CRC',
    archive: named('cat/x.png', { crc: 1 }),
    faults: { 'cat/x.png': invalid }
  },
  {
    name: 'a size that is too small',
    archive: named('cat/x.png', { size: 3 }),
    faults: { 'cat/x.png': invalid }
  },
  {
    name: 'a size that is too large',
    archive: named('cat/x.png', { size: 2 ** 31 }),
    faults: { 'cat/x.png': invalid }
  },
  {
    name: 'deflate data that is damaged',
    archive: async () => {
      const text = Buffer.from('some text that deflate makes shorter, shorter, shorter, shorter')
      const zip = await zipOf([...(await twoClasses()), { name: 'cat/x.png', bytes: text }])
      const at = zip.indexOf(deflateRawSync(text, { level: 6 }))
      return zip.fill(0xff, at + 2, at + 12)
    },
    faults: { 'cat/x.png': invalid }
  },
  {
    name: 'a zip in a zip',
    archive: async () => {
      const inner = await zipOf(await twoClasses())
      return zipOf([...(await twoClasses()), { name: 'cat/inner.zip', bytes: inner }])
    },
    faults: { 'cat/inner.zip': 'IMAGE_FORMAT_UNSUPPORTED' }
  },
  {
    name: 'an empty file',
    archive: zipWith({ name: 'cat/empty.png' }),
    faults: { 'cat/empty.png': 'IMAGE_FORMAT_UNSUPPORTED' }
  }
]

const limits: readonly ImportCase[] = [
  {
    name: 'a bomb by ratio',
    archive: zipWith({ name: 'cat/bomb.png', bytes: zeros(2e6) }),
    limits: { ratioFrom: 1e5 },
    error: 'ARCHIVE_LIMIT'
  },
  {
    name: 'a bomb whose directory claims a small size',
    archive: zipWith({ name: 'cat/bomb.png', bytes: zeros(2e6), size: 100 }),
    limits: { ratioFrom: 1e5 },
    faults: { 'cat/bomb.png': invalid }
  },
  {
    name: 'too many entries',
    archive: zipWith({ name: 'c' }, { name: 'd' }),
    limits: { entries: 3 },
    error: 'ARCHIVE_LIMIT'
  },
  {
    name: 'too many bytes',
    archive: zipWith({ name: 'cat/a', bytes: zeros(3e4) }, { name: 'cat/b', bytes: zeros(3e4) }),
    limits: { totalBytes: 5e4 },
    error: 'ARCHIVE_LIMIT'
  },
  {
    name: 'an entry of too many bytes',
    archive: zipWith({ name: 'cat/large.png', bytes: zeros(3e4) }),
    limits: { entryBytes: 2e4 },
    faults: { 'cat/large.png': invalid }
  },
  {
    name: 'too many classes',
    archive: named('bird/x.png'),
    limits: { labels: 2 },
    error: 'ARCHIVE_LIMIT'
  }
]

const whole: readonly ImportCase[] = [
  {
    name: 'a zip that is cut off',
    archive: async () => cutOff(await zipWith()()),
    error: 'ARCHIVE_UNREADABLE'
  },
  {
    name: 'a zip without its last byte',
    archive: async () => (await zipWith()()).subarray(0, -1),
    error: 'ARCHIVE_UNREADABLE'
  },
  {
    name: 'a damaged central directory',
    archive: async () => patched(await zipWith()(), 'PK\x01\x02', 'PK\x01\x03'),
    error: 'ARCHIVE_UNREADABLE'
  },
  {
    name: 'a damaged local header',
    archive: async () => {
      const zip = await zipWith()()
      const second = zip.indexOf('PK\x03\x04', 4, 'latin1')
      zip.write('KP', second, 'latin1')
      return zip
    },
    error: 'DATASET_SINGLE_CLASS',
    faults: { 'dog/1.png': invalid }
  },
  {
    name: 'an end record that claims more entries',
    archive: async () => {
      const zip = await zipWith()()
      zip.writeUInt16LE(9, zip.length - 22 + 10)
      return zip
    },
    error: 'ARCHIVE_UNREADABLE'
  },
  { name: 'an empty zip', archive: () => zipOf([]), error: 'DATASET_EMPTY' },
  { name: 'an empty tar', archive: () => tarOf([]), error: 'DATASET_EMPTY' },
  { name: 'an empty upload', archive: () => Buffer.alloc(0), error: 'ARCHIVE_UNREADABLE' },
  { name: 'a text', archive: () => Buffer.from('hello '.repeat(200)), error: 'ARCHIVE_UNREADABLE' },
  { name: 'an image', archive: () => flatImage(7), error: 'ARCHIVE_UNREADABLE' },
  {
    name: 'a 7z archive',
    archive: () => Buffer.from('377abcaf271c0004', 'hex'),
    error: 'ARCHIVE_UNREADABLE'
  }
]

testImports([...names, ...kinds, ...limits, ...whole])
