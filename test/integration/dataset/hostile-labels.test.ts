/** Manifests and folder names that say nothing usable, or two things at once. */
import assert from 'node:assert/strict'
import { zipOf } from '../../support/archives.ts'
import { flatImage } from '../../support/images.ts'
import { type ImportCase, type Imported, testImports, twoClasses } from '../../support/imports.ts'

const manifestInvalid = 'MANIFEST_INVALID'
const unlabelled = 'IMAGE_UNLABELLED'
const labelInvalid = 'LABEL_INVALID'

/** Images `a.png` and so on, without folders, and their manifest. */
const withManifest =
  (manifest: string | Buffer, { as = 'manifest.csv', images = 'ab' } = {}) =>
  async () =>
    zipOf([
      ...(await Promise.all(
        [...images].map(async (name, i) => ({
          name: `${name}.png`,
          bytes: await flatImage(20 + 30 * i)
        }))
      )),
      { name: as, bytes: Buffer.from(manifest as string) }
    ])

const csv = (...rows: string[]) => `path,label,split\n${rows.join('\n')}\n`
const good = ['a.png,cat,train', 'b.png,dog,test'] as const
const row = (n: number, path = '') => `manifest.csv, row ${n}${path && `: ${path}`}`
const detail =
  (pattern: RegExp) =>
  ({ report }: Imported) =>
    assert.match(report?.faults[0]?.detail ?? '', pattern)

const wholeManifests: readonly ImportCase[] = [
  {
    name: 'no label column',
    archive: withManifest('path,class\na.png,cat\n'),
    error: manifestInvalid
  },
  {
    name: 'no path column',
    archive: withManifest('file,label\na.png,cat\n'),
    error: manifestInvalid
  },
  {
    name: 'a quote that never ends',
    archive: withManifest(csv('"a.png,cat,train')),
    error: manifestInvalid
  },
  {
    name: 'two manifests',
    archive: async () =>
      zipOf([
        ...(await twoClasses()),
        { name: 'manifest.csv', bytes: Buffer.from(csv()) },
        { name: 'manifest.jsonl', bytes: Buffer.from('') }
      ]),
    error: manifestInvalid
  },
  {
    name: 'an empty CSV',
    archive: withManifest(''),
    error: 'DATASET_EMPTY',
    faults: { 'a.png': unlabelled, 'b.png': unlabelled }
  },
  {
    name: 'a manifest that names none of the files',
    archive: withManifest(csv('c.png,cat,')),
    error: 'DATASET_EMPTY',
    faults: { 'a.png': unlabelled, 'b.png': unlabelled, [row(1, 'c.png')]: manifestInvalid }
  }
]

/** One bad row after the good ones. */
const badRow = (name: string, bad: string): ImportCase => ({
  name,
  archive: withManifest(csv(...good, bad)),
  faults: { [row(3)]: manifestInvalid }
})

const jsonl = (...rows: unknown[]) =>
  rows.map((value) => (typeof value === 'string' ? value : JSON.stringify(value))).join('\n')
const goodObjects = [
  { path: 'a.png', label: 'cat' },
  { path: 'b.png', label: 'dog' }
]

const rows: readonly ImportCase[] = [
  {
    name: 'an unknown path',
    archive: withManifest(csv(...good, 'c.png,cat,')),
    faults: { [row(3, 'c.png')]: manifestInvalid }
  },
  badRow('a label with a comma but no quotes', 'a.png,cat, small,train'),
  badRow('a row without a label', 'a.png'),
  badRow('an unknown split', 'a.png,cat,dev'),
  badRow('a path that climbs', '../a.png,cat,train'),
  badRow('an absolute path', '/a.png,cat,train'),
  badRow('an empty path', ',cat,train'),
  badRow('an empty label', 'a.png,"  ",train'),
  badRow('a label of 101 characters', `a.png,${'x'.repeat(101)},train`),
  badRow('a label with a control character', 'a.png,ca\x07t,train'),
  badRow('a label that turns the writing direction', 'a.png,ca\u202Et,train'),
  {
    name: 'a label that is no UTF-8',
    archive: withManifest(Buffer.from(csv(...good, 'a.png,k\xe4tzchen,train'), 'latin1')),
    faults: { [row(3)]: manifestInvalid },
    also: detail(/U\+FFFD/)
  },
  {
    name: 'a path with two labels',
    archive: withManifest(csv(...good, 'c.png,cat,', 'c.png,dog,', 'c.png,cat,'), {
      images: 'abc'
    }),
    faults: { 'c.png': 'IMAGE_LABEL_CONFLICT' },
    also: detail(/\["cat","dog"\]/)
  },
  { name: 'a path twice with one label', archive: withManifest(csv(...good, good[0])) },
  {
    name: 'a file that is not named',
    archive: withManifest(csv(...good), { images: 'abc' }),
    faults: { 'c.png': unlabelled }
  },
  {
    name: 'lines of JSONL that are not what they should be',
    archive: withManifest(
      jsonl(
        ...goodObjects,
        '{"path": "a.p',
        'null',
        '[1, 2]',
        '"a.png"',
        { path: 7, label: 'cat' },
        { path: 'a.png' },
        { path: 'a.png', label: '\ud800' },
        { path: 'a.png', label: 'cat', split: 1 },
        ''
      ),
      { as: 'manifest.jsonl' }
    ),
    faults: Object.fromEntries(
      [3, 4, 5, 6, 7, 8, 9, 10].map((n) => [`manifest.jsonl, row ${n}`, manifestInvalid])
    )
  },
  {
    name: 'a file that is damaged and named',
    archive: async () =>
      zipOf([
        ...(await twoClasses()),
        { name: 'bad.png' },
        {
          name: 'manifest.csv',
          bytes: Buffer.from(csv('cat/1.png,cat,', 'dog/1.png,dog,', 'bad.png,cat,'))
        }
      ]),
    faults: { 'bad.png': 'IMAGE_FORMAT_UNSUPPORTED' }
  }
]

const folder = (name: string, label: string): ImportCase => ({
  name,
  archive: async () =>
    zipOf([...(await twoClasses()), { name: `${label}/x.png`, bytes: await flatImage(90) }]),
  faults: { [`${label}/x.png`]: labelInvalid }
})
/** The same picture in two folders. */
const conflict = async () => {
  const bytes = await flatImage(90)
  return zipOf([
    ...(await twoClasses()),
    { name: 'cat/x.png', bytes },
    { name: 'dog/x.png', bytes }
  ])
}

const folders: readonly ImportCase[] = [
  folder('a folder with a control character', 'ca\x1bt'),
  folder('a folder with a line break', 'ca\nt'),
  folder('a folder of white space', '  '),
  folder('a folder of an invisible character', '\u2060'),
  folder('a folder of 101 characters', 'x'.repeat(101)),
  {
    name: 'an image in no folder',
    archive: async () =>
      zipOf([...(await twoClasses()), { name: 'x.png', bytes: await flatImage(90) }]),
    faults: { 'x.png': unlabelled }
  },
  {
    name: 'images beside the split folders, and beside the classes in them',
    archive: async () => {
      const [cat, dog] = await twoClasses()
      const inTrain = [cat, dog].map((image) => ({ ...image, name: `train/${image?.name}` }))
      return zipOf([
        ...inTrain,
        { name: 'test/cat/2.png', bytes: await flatImage(60) },
        { name: 'test/2.png', bytes: await flatImage(70) },
        { name: 'more/cat/3.png', bytes: await flatImage(80) }
      ])
    },
    kept: 3,
    faults: { 'test/2.png': unlabelled, 'more/cat/3.png': unlabelled }
  },
  {
    name: 'the same bytes under two labels',
    archive: conflict,
    faults: { 'cat/x.png': 'IMAGE_LABEL_CONFLICT', 'dog/x.png': 'IMAGE_LABEL_CONFLICT' },
    also: detail(/\["cat","dog"\]/)
  },
  {
    name: 'the same bytes under two labels when strict was asked for',
    archive: conflict,
    strict: true,
    error: 'DATASET_FAULTY',
    faults: { 'cat/x.png': 'IMAGE_LABEL_CONFLICT', 'dog/x.png': 'IMAGE_LABEL_CONFLICT' }
  },
  {
    name: 'a single class',
    archive: async () => zipOf((await twoClasses()).slice(1)),
    error: 'DATASET_SINGLE_CLASS'
  },
  {
    name: 'a single class but for its broken images',
    archive: async () => zipOf([...(await twoClasses()).slice(1), { name: 'cat/x.png' }]),
    error: 'DATASET_SINGLE_CLASS',
    faults: { 'cat/x.png': 'IMAGE_FORMAT_UNSUPPORTED' }
  },
  {
    name: 'nothing but clutter',
    archive: () => zipOf([{ name: '.DS_Store' }, { name: '__MACOSX/cat/._1.png' }]),
    error: 'DATASET_EMPTY'
  }
]

testImports([...wholeManifests, ...rows, ...folders])
