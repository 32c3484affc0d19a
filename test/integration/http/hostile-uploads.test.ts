/** Hostile uploads over HTTP: each is answered by code, none is a 500, and the api goes on as before. */
import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import sharp from 'sharp'
import supertest from 'supertest'
import { importLimits } from '../../../src/dataset/limits.ts'
import { createImports } from '../../../src/service/imports.ts'
import { type ApiApp, apiApp, quiet } from '../../support/api-app.ts'
import { cutOff, gzip, tarOf, type ZipMember, zipOf } from '../../support/archives.ts'
import { flatImage } from '../../support/images.ts'
import { twoClasses } from '../../support/imports.ts'
import { pngOf, pngPixels } from '../../support/odd-images.ts'

const zipWith = async (...members: readonly ZipMember[]) =>
  zipOf([...(await twoClasses()), ...members])

const hugePng = () => pngOf({ width: 60_000, height: 60_000 }, pngPixels(Buffer.from([0])))

interface HostileUpload {
  readonly name: string
  readonly archive: () => Promise<Uint8Array> | Uint8Array
  /** Code of the import's error; without one the dataset is ready. */
  readonly error?: string
  /** Codes of the faults of a dataset that is ready. */
  readonly faults?: readonly string[]
}

const hostile: readonly HostileUpload[] = [
  { name: 'text', archive: () => Buffer.from('no archive'), error: 'ARCHIVE_UNREADABLE' },
  { name: 'empty', archive: () => Buffer.alloc(0), error: 'ARCHIVE_UNREADABLE' },
  { name: 'cut-zip', archive: async () => cutOff(await zipWith()), error: 'ARCHIVE_UNREADABLE' },
  {
    name: 'cut-tar-gz',
    archive: async () => cutOff(gzip(await tarOf(await twoClasses()))),
    error: 'ARCHIVE_UNREADABLE'
  },
  {
    name: 'zip-bomb',
    archive: () => zipWith({ name: 'cat/bomb.png', bytes: Buffer.alloc(3e6) }),
    error: 'ARCHIVE_LIMIT'
  },
  {
    name: 'gzip-bomb',
    archive: async () => gzip(await tarOf([{ name: 'cat/bomb.png', bytes: Buffer.alloc(3e6) }])),
    error: 'ARCHIVE_LIMIT'
  },
  {
    name: 'slip',
    archive: async () => zipWith({ name: '../../../x.png', bytes: await flatImage(9) }),
    faults: ['ARCHIVE_ENTRY_INVALID']
  },
  {
    name: 'link',
    archive: () =>
      zipWith({ name: 'cat/l.png', bytes: Buffer.from('/etc/passwd'), mode: 0o120777 }),
    faults: ['ARCHIVE_ENTRY_INVALID']
  },
  {
    name: 'pixel-bomb',
    archive: () =>
      zipWith({
        name: 'cat/huge.png',
        bytes: hugePng()
      }),
    faults: ['IMAGE_TOO_LARGE']
  },
  {
    name: 'svg',
    archive: () => zipWith({ name: 'cat/x.png', bytes: Buffer.from('<svg></svg>') }),
    faults: ['IMAGE_FORMAT_UNSUPPORTED']
  },
  { name: 'nothing', archive: () => zipOf([]), error: 'DATASET_EMPTY' },
  {
    name: 'one-class',
    archive: async () => zipOf((await twoClasses()).slice(1)),
    error: 'DATASET_SINGLE_CLASS'
  }
]

const limits = { ...importLimits, ratioFrom: 1e6, memoryMiB: 1024 }

async function imported(api: ApiApp, name: string, archive: Uint8Array) {
  const { status, body, text } = await supertest(api.app.server)
    .post('/v1/datasets')
    .field('name', name)
    .attach('file', Buffer.from(archive), 'archive.zip')
  assert.equal(status, 202, text)
  const imports = createImports({ ...api, dispatch: async () => {}, log: quiet(), limits })
  await imports.run({ id: body.id, dispatch: 1 }, new AbortController().signal)
  await imports.close()
  return (await supertest(api.app.server).get(`/v1/datasets/${name}`)).body
}

test('after every hostile archive the api lives, and the next good one is imported', async (t) => {
  const api = await apiApp(t)
  for (const { name, archive, error, faults } of hostile) {
    const dataset = await imported(api, name, await archive())
    const told = `${name}: ${JSON.stringify(dataset)}`
    if (error === undefined) {
      const found = dataset.import.faults.map(({ code }: { readonly code: string }) => code)
      assert.deepEqual([dataset.status, dataset.images, found], ['ready', 2, faults], told)
    } else {
      assert.deepEqual([dataset.status, dataset.error.code], ['failed', error], told)
      assert.ok(dataset.error.status < 500, told)
      assert.match(dataset.error.detail, /^Cannot .+: .+/)
    }
    const { status } = await supertest(api.app.server).get('/health/live')
    assert.equal(status, 200, name)
    for (const folder of ['imports', 'uploads']) {
      assert.deepEqual(await readdir(join(api.dataDir, folder)), [], `${name} left something`)
    }
  }
  const good = await imported(api, 'good', await zipWith())
  assert.deepEqual([good.status, good.images, good.error], ['ready', 2, null])
})

test('hostile files among good ones are faults of their own, one line each', async (t) => {
  const api = await apiApp(t)
  await supertest(api.app.server).post('/v1/datasets').field('name', 'photos').expect(201)
  const files: readonly (readonly [string, Uint8Array, string | null])[] = [
    ['good.png', await flatImage(1), null],
    ['empty.png', Buffer.alloc(0), 'IMAGE_FORMAT_UNSUPPORTED'],
    ['../../../etc/passwd', Buffer.from('root:x:0:0'), 'IMAGE_FORMAT_UNSUPPORTED'],
    ['zip.png', await zipWith(), 'IMAGE_FORMAT_UNSUPPORTED'],
    ['cut.png', cutOff(await flatImage(2)), 'IMAGE_TRUNCATED'],
    [
      'tiff.png',
      await sharp(await flatImage(3))
        .tiff()
        .toBuffer(),
      'IMAGE_FORMAT_UNSUPPORTED'
    ],
    ['huge.png', hugePng(), 'IMAGE_TOO_LARGE'],
    ['good.jpg', await flatImage(4), null]
  ]
  const request = supertest(api.app.server).post('/v1/datasets/photos/images').field('label', 'a')
  for (const [name, bytes] of files) request.attach('file', Buffer.from(bytes), name)
  const { status, body } = await request
  assert.deepEqual([status, body.added], [201, 2], JSON.stringify(body))
  assert.deepEqual(
    body.faults.map(({ code }: { readonly code: string }) => code),
    files.flatMap(([, , code]) => code ?? [])
  )
  await supertest(api.app.server).get('/health/live').expect(200)
})

const multipart = 'multipart/form-data; boundary=x'
const part = (headers: string, body = '') => `--x\r\n${headers}\r\n\r\n${body}\r\n`
const field = (name: string, value: string) =>
  part(`Content-Disposition: form-data; name="${name}"`, value)

const bodies: readonly (readonly [string, string, string, readonly string[]])[] = [
  ['no boundary', 'multipart/form-data', 'x', ['REQUEST_MALFORMED', 'MEDIA_TYPE_UNSUPPORTED']],
  ['no parts', multipart, 'nothing here', ['REQUEST_MALFORMED', 'REQUEST_INVALID']],
  ['an end that is missing', multipart, field('name', 'abc'), ['REQUEST_MALFORMED']],
  [
    'a file as a field',
    multipart,
    `${field('name', 'abc')}${field('file', 'PK')}--x--\r\n`,
    ['REQUEST_INVALID']
  ],
  [
    'a field of the prototype',
    multipart,
    `${field('__proto__', 'abc')}${field('name', 'abc')}--x--\r\n`,
    ['REQUEST_INVALID', 'REQUEST_MALFORMED']
  ],
  [
    'a name given twice',
    multipart,
    `${field('name', 'abc')}${field('name', 'abd')}--x--\r\n`,
    ['REQUEST_INVALID']
  ],
  [
    'a hundred fields',
    multipart,
    `${field('name', 'abc').repeat(100)}--x--\r\n`,
    ['REQUEST_INVALID', 'REQUEST_TOO_LARGE']
  ],
  [
    'a field that is too long',
    multipart,
    `${field('name', 'a'.repeat(1e5))}--x--\r\n`,
    ['REQUEST_INVALID']
  ],
  [
    'a file under another name',
    multipart,
    `${part('Content-Disposition: form-data; name="archive"; filename="a"', 'PK')}${field('name', 'abc')}--x--\r\n`,
    ['REQUEST_INVALID']
  ]
]

for (const [name, type, body, codes] of bodies) {
  test(`a multipart body with ${name} is refused and makes nothing`, async (t) => {
    const api = await apiApp(t)
    const answer = await supertest(api.app.server)
      .post('/v1/datasets')
      .set('content-type', type)
      .send(body)
    assert.ok(answer.status >= 400 && answer.status < 500, answer.text)
    assert.ok(codes.includes(answer.body.code), answer.text)
    assert.equal(answer.headers['content-type'], 'application/problem+json')
    const list = await supertest(api.app.server).get('/v1/datasets')
    assert.deepEqual(list.body.items, [])
  })
}

test('an archive beyond the limit of uploads is refused without being kept', async (t) => {
  const api = await apiApp(t, { maxUploadBytes: 10_000 })
  const answer = await supertest(api.app.server)
    .post('/v1/datasets')
    .field('name', 'large')
    .attach('file', Buffer.alloc(200_000), 'a.zip')
  assert.deepEqual([answer.status, answer.body.code], [413, 'REQUEST_TOO_LARGE'])
  assert.deepEqual(await readdir(join(api.dataDir, 'imports')), [])
  await supertest(api.app.server).post('/v1/datasets').field('name', 'large').expect(201)
})
