/** The blob store on a real file system. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { openBlobs } from '../../src/blob/blobs.ts'
import { asDiskError, ServiceError } from '../../src/errors.ts'

async function folder(t: TestContext) {
  const dir = await mkdtemp(join(tmpdir(), 'whittle-blobs-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  return dir
}
const digest = (data: string) => createHash('sha256').update(data).digest('hex')
const text = async (stream: AsyncIterable<Uint8Array>) =>
  Buffer.concat(await Array.fromAsync(stream)).toString()
async function* chunks(...parts: string[]) {
  for (const part of parts) yield Buffer.from(part)
}
const codeOf = (code: string) => (error: unknown) =>
  error instanceof ServiceError && error.code === code

test('put() stores a stream under its digest, once', async (t) => {
  const blobs = await openBlobs(await folder(t))
  const first = await blobs.put(chunks('hel', 'lo'))
  assert.deepEqual(first, { sha256: digest('hello'), bytes: 5 })
  assert.deepEqual(await blobs.put(Buffer.from('hello')), first)
  assert.equal(await text(blobs.read(first.sha256)), 'hello')
  assert.equal(await text(blobs.read(first.sha256, { start: 1, end: 3 })), 'ell')
  assert.equal(await blobs.size(first.sha256), 5)
  assert.deepEqual(
    (await Array.fromAsync(blobs.list())).map((b) => b.sha256),
    [first.sha256]
  )
  await blobs.delete(first.sha256)
  assert.equal(await blobs.has(first.sha256), false)
})

test('put() leaves nothing behind when it refuses', async (t) => {
  const dir = await folder(t)
  const blobs = await openBlobs(dir)
  await assert.rejects(blobs.put(chunks('hello'), { maxBytes: 4 }), codeOf('REQUEST_TOO_LARGE'))
  await assert.rejects(
    blobs.put(chunks('hello'), { expectSha256: digest('other') }),
    codeOf('REQUEST_MALFORMED')
  )
  async function* failing() {
    yield Buffer.from('half')
    throw new Error('client went away')
  }
  await assert.rejects(blobs.put(failing()), /client went away/)
  assert.deepEqual(await readdir(join(dir, 'staging')), [])
  assert.deepEqual(await Array.fromAsync(blobs.list()), [])
})

test('openBlobs() removes what a killed process left half-written', async (t) => {
  const dir = await folder(t)
  await openBlobs(dir)
  await writeFile(join(dir, 'staging', 'half'), 'x')
  await openBlobs(dir)
  assert.deepEqual(await readdir(join(dir, 'staging')), [])
})

test('put() asks before each piece, and leaves nothing of what is refused', async (t) => {
  const dir = await folder(t)
  const blobs = await openBlobs(dir)
  let room = 8
  const admit = async (bytes: number) => {
    room -= bytes
    if (room < 0) throw new ServiceError('DISK_FULL', { detail: 'Cannot store it' })
  }
  await blobs.put(chunks('hel', 'lo'), { admit })
  await assert.rejects(blobs.put(chunks('hel', 'lo'), { admit }), codeOf('DISK_FULL'))
  assert.deepEqual(await readdir(join(dir, 'staging')), [])
})

test('keep() protects a content from removal until its row has been written', async (t) => {
  let told = 0
  const blobs = await openBlobs(await folder(t), { onRemoved: () => told++ })
  const { sha256 } = await blobs.keep(Buffer.from('hello'), {}, async (stored) => {
    await blobs.delete(stored.sha256)
    assert.equal(await blobs.deleteOlder(stored.sha256, new Date(Date.now() + 60_000)), null)
    return stored
  })
  assert.equal(await blobs.has(sha256), true)
  assert.equal(told, 0)
  await blobs.delete(sha256)
  assert.deepEqual([await blobs.has(sha256), told], [false, 1])
})

test('deleteOlder() spares what is stored again at the same moment', async (t) => {
  const blobs = await openBlobs(await folder(t))
  const content = Buffer.from('hello')
  const hour = 3_600_000
  for (let round = 0; round < 50; round++) {
    const { sha256 } = await blobs.put(content)
    const longAgo = new Date(Date.now() - 2 * hour)
    await utimes(blobs.path(sha256), longAgo, longAgo)
    const again = blobs.put(content)
    // Falls before, between and after the steps of storing, depending on the round.
    for (let i = 0; i < round % 10; i++) await new Promise(setImmediate)
    await blobs.deleteOlder(sha256, new Date(Date.now() - hour))
    await again
    assert.equal(await blobs.has(sha256), true, `round ${round}`)
    assert.equal(await blobs.deleteOlder(sha256, new Date(Date.now() - hour)), null)
  }
})

test('adopt() moves a file in', async (t) => {
  const dir = await folder(t)
  const blobs = await openBlobs(join(dir, 'store'))
  await writeFile(join(dir, 'file'), 'hello')
  await blobs.adopt(join(dir, 'file'), digest('hello'))
  assert.equal(await readFile(blobs.path(digest('hello')), 'utf8'), 'hello')
})

test('path() refuses what is no digest', async (t) => {
  const blobs = await openBlobs(await folder(t))
  assert.throws(() => blobs.path('../../etc/passwd'), TypeError)
})

test('asDiskError() names a full disk and passes on the rest', () => {
  const full = Object.assign(new Error('write'), { code: 'ENOSPC' })
  const named = asDiskError(full, 'store the file')
  assert.ok(named instanceof ServiceError)
  assert.equal(named.status, 507)
  const other = Object.assign(new Error('write'), { code: 'EACCES' })
  assert.equal(asDiskError(other, 'store the file'), other)
  const database = Object.assign(new Error('x'), { code: 'ERR_SQLITE_ERROR', errcode: 13 })
  const said = asDiskError(database, 'store the file')
  assert.ok(said instanceof ServiceError && said.code === 'DISK_FULL')
})
