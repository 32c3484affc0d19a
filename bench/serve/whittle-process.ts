/**
 * The api of whittle on a data folder of its own, with one model published: the program itself, not parts
 * of it. Nothing waits for Redis, which it is not given.
 */

import { mkdtempSync, rmSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openBlobs } from '../../src/blob/blobs.ts'
import { openCatalog } from '../../src/catalog/open.ts'
import { publishVersion } from '../../src/catalog/publish-version.ts'
import { publication } from '../../test/support/publication.ts'

const { MODEL = '', SIZE = '', CLASSES = '', PORT = '' } = process.env
const dataDir = mkdtempSync(join(tmpdir(), 'whittle-bench-'))
process.once('exit', () => rmSync(dataDir, { recursive: true, force: true }))

const db = await openCatalog(join(dataDir, 'catalog', 'catalog.sqlite'))
const blobs = await openBlobs(join(dataDir, 'blobs'))
const stored = await blobs.put(await readFile(MODEL))
const wanted = publication('job_bench', {
  model: 'bench',
  variants: ['int8'],
  labels: Array.from({ length: Number(CLASSES) }, (_, i) => String(i)),
  network: { architecture: 'bench', inputSize: Number(SIZE), channels: 3, resize: 'stretch' },
  artifacts: [{ file: 'int8.onnx', mediaType: 'application/octet-stream', ...stored }]
})
await db.transaction().execute((trx) => publishVersion(trx, wanted))
await db.destroy()

Object.assign(process.env, {
  WHITTLE_DATA_DIR: dataDir,
  WHITTLE_PORT: PORT,
  WHITTLE_LOG_LEVEL: 'error',
  REDIS_URL: 'redis://127.0.0.1:1'
})
await import('../../src/main/api.ts')
