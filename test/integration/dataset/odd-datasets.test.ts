/** What is odd but good: it must be kept, with the labels and splits that people mean. */
import assert from 'node:assert/strict'
import { gzip, patched, rawTar, tarOf, zipOf } from '../../support/archives.ts'
import { flatImage } from '../../support/images.ts'
import { type ImportCase, type Imported, testImports, twoClasses } from '../../support/imports.ts'

const labelsOf = ({ images }: Imported) => [...new Set(images.map(({ label }) => label))].sort()
const placesOf = ({ images }: Imported) =>
  images.map(({ label, split }) => `${split} ${label}`).sort()

/** Images of these levels under these names. */
const levels = (names: readonly string[]) =>
  Promise.all(names.map(async (name, i) => ({ name, bytes: await flatImage(10 + 20 * i) })))
const labels = ['猫', 'قطة', '🐈‍⬛', 'é', 'गाय', 'می‌خواهم']
const manifest = (text: string, name: string) => async () =>
  zipOf([
    ...(await levels(['top/a.png', 'top/b.png'])),
    { name: `top/${name}`, bytes: Buffer.from(text) }
  ])

const names: readonly ImportCase[] = [
  {
    name: 'labels of all scripts, in one spelling',
    archive: async () =>
      zipOf(await levels(labels.map((label) => `${label.normalize('NFD')}/x.png`))),
    kept: labels.length,
    also: (imported) =>
      assert.deepEqual(labelsOf(imported), labels.map((l) => l.normalize('NFC')).sort())
  },
  {
    name: 'one label in two spellings',
    archive: async () => zipOf(await levels(['é/1.png', 'e\u0301/2.png', 'dog/3.png'])),
    kept: 3,
    also: (imported) => assert.deepEqual(labelsOf(imported), ['dog', 'é'])
  },
  {
    name: 'what operating systems strew in',
    archive: async () => {
      const junk = [
        '__MACOSX/cat/._1.png',
        '.DS_Store',
        'cat/.DS_Store',
        'cat/Thumbs.db',
        'dog/desktop.ini',
        '.git/x.png',
        'cat/.hidden.png'
      ]
      return zipOf([
        ...(await twoClasses()),
        ...junk.map((name) => ({ name, bytes: Buffer.from('junk') }))
      ])
    },
    also: ({ report }) => assert.deepEqual([report?.read, report?.skipped], [2, 0])
  },
  {
    name: 'common folders above the classes',
    archive: async () => zipOf(await levels(['my data/v 1/cat/1.png', './my data/v 1//dog/2.png'])),
    also: (imported) => assert.deepEqual(labelsOf(imported), ['cat', 'dog'])
  },
  {
    name: 'split folders below a common one, by their usual names',
    archive: async () =>
      zipOf(
        await levels([
          'top/Train/cat/1',
          'top/training/dog/2',
          'top/val/cat/3',
          'top/testing/dog/4'
        ])
      ),
    kept: 4,
    also: (imported) =>
      assert.deepEqual(placesOf(imported), ['test dog', 'train cat', 'train dog', 'validation cat'])
  },
  {
    name: 'classes that are called train and test',
    archive: async () => zipOf(await levels(['train/1.png', 'test/2.png'])),
    also: (imported) => assert.deepEqual(labelsOf(imported), ['test', 'train'])
  },
  {
    name: 'validation carved from train when train and test were given',
    archive: async () => {
      const paths = ['cat', 'dog'].flatMap((label) => [
        ...[1, 2, 3, 4, 5].map((i) => `train/${label}/${i}.png`),
        `test/${label}/6.png`
      ])
      return zipOf(await levels(paths))
    },
    kept: 12,
    also: ({ images }) => {
      const count = (split: string) => images.filter((image) => image.split === split).length
      assert.deepEqual(['train', 'validation', 'test'].map(count), [8, 2, 2])
    }
  },
  {
    name: 'copies, of which the one in test is kept',
    archive: async () => {
      const [cat, dog] = (await twoClasses()).map(({ bytes }) => bytes)
      const paths = ['train/cat/1', 'train/cat/2', 'test/cat/3']
      return zipOf([
        ...paths.map((name) => ({ name, bytes: cat as Buffer })),
        { name: 'train/dog/1', bytes: dog as Buffer }
      ])
    },
    also: (imported) => {
      assert.equal(imported.report?.duplicates, 2)
      assert.ok(placesOf(imported).includes('test cat'))
    }
  },
  {
    name: 'a manifest in CSV: BOM, quotes, CRLF, blank lines, other columns, a dotted path',
    archive: manifest(
      '\uFEFF Label ,id,PATH,split\r\n\r\n"cat, small",7,./a.png,VAL\r\n"do""g",8,b.png,\r\n',
      'Manifest.CSV'
    ),
    also: (imported) => {
      assert.deepEqual(labelsOf(imported), ['cat, small', 'do"g'])
      assert.ok(placesOf(imported).includes('validation cat, small'))
    }
  },
  {
    name: 'a manifest in UTF-16 with a byte order mark',
    archive: async () =>
      zipOf([
        ...(await levels(['a.png', 'b.png'])),
        {
          name: 'manifest.csv',
          bytes: Buffer.from('\uFEFFpath,label\na.png,猫\nb.png,dog\n', 'utf16le')
        }
      ]),
    also: (imported) => assert.deepEqual(labelsOf(imported), ['dog', '猫'])
  },
  {
    name: 'a manifest in JSONL with a number as label',
    archive: manifest(
      '{"path":"a.png","label":0,"split":"test"}\r\n\n{"path":"b.png","label":"1"}',
      'manifest.jsonl'
    ),
    also: (imported) => assert.deepEqual(labelsOf(imported), ['0', '1'])
  }
]

const octal = (length: number) => length.toString(8).padStart(11, '0')
const archives: readonly ImportCase[] = [
  { name: 'a tar.gz', archive: async () => gzip(await tarOf(await twoClasses())) },
  {
    name: 'a tar of two gzip members',
    archive: async () => {
      const tar = await tarOf(await twoClasses())
      return Buffer.concat([gzip(tar.subarray(0, 700)), gzip(tar.subarray(700))])
    }
  },
  {
    name: 'a tar of 1988, without the mark that came later',
    archive: async () => {
      const old = rawTar(
        (await twoClasses()).map((image) => ({ ...image, size: octal(image.bytes.length) }))
      )
      for (let at = old.indexOf('ustar'); at >= 0; at = old.indexOf('ustar')) {
        const sum = Number.parseInt(old.toString('latin1', at - 109, at - 103), 8)
        const mark = old.subarray(at, at + 8).reduce((total, byte) => total + byte, 0)
        old.fill(0, at, at + 8).write((sum - mark).toString(8).padStart(6, '0'), at - 109, 'latin1')
      }
      return old
    }
  },
  {
    name: 'long and foreign names in a tar',
    archive: async () =>
      tarOf(await levels([`${'kätzchen'.repeat(12)}/1.png`, `dog/${'n'.repeat(200)}.png`])),
    also: (imported) => assert.deepEqual(labelsOf(imported), ['dog', 'kätzchen'.repeat(12)])
  },
  {
    name: 'a zip entry whose name no flag calls UTF-8',
    archive: async () =>
      zipOf((await levels(['猫/1.png', 'dog/2.png'])).map((image) => ({ ...image, flags: 0 }))),
    also: (imported) => assert.deepEqual(labelsOf(imported), ['dog', '猫'])
  },
  {
    name: 'a zip whose first name was changed in its local header only',
    archive: async () => patched(await zipOf(await twoClasses()), 'cat/1.png', 'cow/9.png'),
    also: (imported) => assert.deepEqual(labelsOf(imported), ['cat', 'dog'])
  }
]

testImports([...names, ...archives])
