/** Room that accepted imports still need: nobody else gets it, and who waits for room says so. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readdir, truncate, writeFile } from 'node:fs/promises'
import { type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import supertest from 'supertest'
import { createImports } from '../../../src/service/imports.ts'
import { Storage } from '../../../src/service/storage.ts'
import { type ApiApp, apiApp, quiet } from '../../support/api-app.ts'
import { zipOf } from '../../support/archives.ts'
import { flatImage } from '../../support/images.ts'
import { shapesZip } from '../../support/whittle.ts'

const MiB = 2 ** 20
const limit = 400 * MiB
const { signal } = new AbortController()

const upload = (api: ApiApp, name: string, bytes: Buffer) =>
  supertest(api.app.server).post('/v1/datasets').field('name', name).attach('file', bytes, 'a.zip')

const get = async (api: ApiApp, path: string) => (await supertest(api.app.server).get(path)).body

/** Leaves room for `bytes`; the file takes nothing of the disk of the test, but counts. */
async function leave(api: ApiApp, bytes: number): Promise<void> {
  const file = join(api.dataDir, 'ballast')
  await writeFile(file, '')
  await api.storage.measure()
  const { used, reserve } = await api.storage.room()
  await truncate(file, limit - reserve - used - bytes)
  await api.storage.measure()
}

test('room that an accepted import needs is nobody else’s until it has ended, also after a restart', async (t) => {
  const api = await apiApp(t, {}, {}, { disk: { maxBytes: limit } })
  await leave(api, 21 * MiB)
  const large = await upload(api, 'large', randomBytes(10 * MiB))
  assert.equal(large.status, 202, large.text)
  const refused = await upload(api, 'small', randomBytes(MiB))
  assert.deepEqual([refused.status, refused.body.code], [507, 'DISK_FULL'])
  assert.match(refused.body.detail, /, 10485760 held for imports that have not ended\)$/)
  assert.equal((await get(api, '/v1/storage')).held, 10 * MiB)

  const storage = new Storage({ dataDir: api.dataDir, cacheDir: api.dataDir, maxBytes: limit })
  const next = createImports({ ...api, storage, dispatch: async () => {}, log: quiet() })
  await next.tidy()
  const { held, room } = await storage.room()
  assert.equal(held, 10 * MiB)
  assert.ok(room < 2 * MiB, `${room}`)

  // What is no archive has failed, and lies nowhere any more.
  await api.imports.run({ id: large.body.id, dispatch: 1 }, signal)
  assert.equal((await get(api, '/v1/datasets/large')).status, 'failed')
  assert.equal((await api.storage.room()).held, 0)
  const small = await upload(api, 'small', randomBytes(MiB))
  assert.equal(small.status, 202, small.text)
  await supertest(api.app.server).delete('/v1/datasets/small').expect(204)
  assert.equal((await api.storage.room()).held, 0)
})

test('room of an import that runs is nobody else’s either, also when the folder is measured', async (t) => {
  const api = await apiApp(t, {}, {}, { disk: { maxBytes: limit } })
  const archive = await shapesZip({ seed: 1, perClass: 40 })
  await leave(api, 20 * MiB)
  const before = (await api.storage.room()).room
  const { id } = (await upload(api, 'shapes', archive).expect(202)).body
  const rooms: number[] = []
  // Asked when an import begins, as long as it has written nothing.
  const room = async () => {
    await api.storage.measure()
    const answer = await api.storage.room()
    rooms.push(answer.room)
    return answer
  }
  const storage = {
    claim: (name: string, bytes: number) => api.storage.claim(name, bytes),
    hold: (name: string, bytes: number) => api.storage.hold(name, bytes),
    letGo: (name: string) => api.storage.letGo(name),
    wasFull: () => api.storage.wasFull(),
    room
  }
  const imports = createImports({ ...api, storage, dispatch: async () => {}, log: quiet() })
  await imports.run({ id, dispatch: 1 }, signal)
  assert.equal((await get(api, '/v1/datasets/shapes')).status, 'ready')
  const [during = Number.NaN] = rooms
  assert.ok(during <= before - 2 * archive.length, `${during} of ${before}`)
  assert.equal((await api.storage.room()).held, 0)
})

test('an import that waits for room says so, and keeps no smaller one waiting', async (t) => {
  const space = { free: 2 ** 40, size: 2 ** 40 }
  const api = await apiApp(t, {}, {}, { disk: { space: async () => space } })
  const members = [
    { name: 'a/1.png', bytes: await flatImage(10) },
    { name: 'b/1.png', bytes: await flatImage(200) }
  ]
  const padding = { name: 'a/odd.txt', bytes: randomBytes(2 * MiB) }
  const large = (await upload(api, 'large', await zipOf([...members, padding])).expect(202)).body
  const small = (await upload(api, 'small', await zipOf(members)).expect(202)).body
  space.free = 1024 * MiB + MiB
  await api.imports.run({ id: large.id, dispatch: 1 }, signal)
  const { status, health } = await get(api, '/v1/datasets/large')
  assert.equal(status, 'importing')
  assert.deepEqual(
    health.map(({ code, severity }: Record<string, string>) => [code, severity]),
    [['IMPORT_WAITS_FOR_ROOM', 'warning']]
  )
  assert.match(
    health[0].detail,
    /^The import waits until there is room on the disk: Cannot import the images: room for \d+ bytes is left, received 2\d{6} /
  )
  await api.imports.run({ id: small.id, dispatch: 1 }, signal)
  assert.equal((await get(api, '/v1/datasets/small')).status, 'ready')

  space.free = 2 ** 40
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 15_000 })
  await api.imports.run({ id: large.id, dispatch: 1 }, signal)
  const ready = await get(api, '/v1/datasets/large')
  assert.equal(ready.status, 'ready')
  assert.ok(ready.health.every(({ code }: { code: string }) => code !== 'IMPORT_WAITS_FOR_ROOM'))
})

test('an archive of unknown length needs its size twice as well', async (t) => {
  const api = await apiApp(t, {}, {}, { disk: { maxBytes: limit } })
  await api.app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = api.app.server.address() as AddressInfo
  await leave(api, 7 * MiB)
  const headers = {
    'content-type': 'multipart/form-data; boundary=x',
    'transfer-encoding': 'chunked'
  }
  const sent = request({ port, method: 'POST', path: '/v1/datasets', headers })
  sent.write(
    '--x\r\nContent-Disposition: form-data; name="name"\r\n\r\nlarge\r\n' +
      '--x\r\nContent-Disposition: form-data; name="file"; filename="a.zip"\r\n\r\n'
  )
  sent.write(randomBytes(5 * MiB))
  sent.end('\r\n--x--\r\n')
  const [answer] = (await once(sent, 'response')) as [IncomingMessage]
  answer.resume()
  assert.equal(answer.statusCode, 507)
  assert.deepEqual((await get(api, '/v1/datasets')).items, [])
  assert.deepEqual(await readdir(join(api.dataDir, 'uploads')).catch(() => []), [])
  const { held, room } = await api.storage.room()
  assert.deepEqual([held, room > 6 * MiB], [0, true])
})
