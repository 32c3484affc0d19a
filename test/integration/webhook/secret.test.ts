import assert from 'node:assert/strict'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { readConfig } from '../../../src/config.ts'
import { webhookKey } from '../../../src/webhook/secret.ts'
import { temporaryFolder } from '../../support/catalog.ts'

test('webhookKey() takes the secret that was given, and makes no file', async (t) => {
  const file = join(await temporaryFolder(t), 'webhook-secret')
  const given = `whsec_${Buffer.alloc(24, 7).toString('base64')}`
  assert.deepEqual(await webhookKey({ given, file })(), Buffer.alloc(24, 7))
  await assert.rejects(stat(file), { code: 'ENOENT' })
})

test('webhookKey() makes a secret at first use, for its owner alone, and keeps it', async (t) => {
  const file = join(await temporaryFolder(t), 'webhook-secret')
  const key = webhookKey({ given: null, file })
  await assert.rejects(stat(file), { code: 'ENOENT' })
  const [made, same] = await Promise.all([key(), key()])
  assert.deepEqual(made, same)
  assert.equal((await stat(file)).mode & 0o777, 0o600)
  const secret = (await readFile(file, 'utf8')).trim()
  assert.deepEqual(made, Buffer.from(secret.slice('whsec_'.length), 'base64'))
  assert.equal(made.length, 32)
  assert.deepEqual(await webhookKey({ given: null, file })(), made)
  // As a setting it means the same.
  assert.equal(readConfig({ WHITTLE_WEBHOOK_SECRET: secret }).webhookSecret, secret)
  const other = join(await temporaryFolder(t), 'webhook-secret')
  assert.notDeepEqual(await webhookKey({ given: null, file: other })(), made)
})

test('webhookKey() refuses a file that holds no secret, and takes one once it does', async (t) => {
  const file = join(await temporaryFolder(t), 'webhook-secret')
  const key = webhookKey({ given: null, file })
  for (const text of ['', 'whsec_', 'whsec_short', 'something else']) {
    await writeFile(file, text)
    await assert.rejects(key(), /does not hold a secret/)
  }
  await writeFile(file, `whsec_${Buffer.alloc(64, 1).toString('base64')}\n`)
  assert.deepEqual(await key(), Buffer.alloc(64, 1))
})
