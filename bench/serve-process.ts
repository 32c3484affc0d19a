/** The server of `serve.ts`: catalogue, engines and the predictions route, with one model published. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import Fastify from 'fastify'
import { openBlobs } from '../src/blob/blobs.ts'
import { openCatalog } from '../src/catalog/open.ts'
import { publishVersion } from '../src/catalog/publish-version.ts'
import { ServedModels } from '../src/catalog/served-models.ts'
import { problems } from '../src/http/plugins/problem.ts'
import { predictionRoutes } from '../src/http/routes/predictions.ts'
import { validatorCompiler } from '../src/http/validation.ts'
import { Engines } from '../src/infer/engines.ts'
import { publication } from '../test/support/publication.ts'

const [model = ''] = process.argv.slice(2)
const folder = await mkdtemp(join(tmpdir(), 'whittle-bench-'))
const db = await openCatalog(join(folder, 'catalog.sqlite'))
const blobs = await openBlobs(join(folder, 'blobs'))
const stored = await blobs.put(await readFile(model))
const engines = new Engines({ perModel: Math.min(4, availableParallelism()) })
const served = new ServedModels(db, () => 0)
const wanted = publication('job_bench', {
  variants: ['int8'],
  labels: Array.from({ length: 10 }, (_, digit) => String(digit)),
  network: { architecture: 'simple-cnn', inputSize: 28, channels: 1, resize: 'stretch' },
  artifacts: [{ file: 'int8.onnx', mediaType: 'application/octet-stream', ...stored }]
})
await db.transaction().execute((trx) => publishVersion(trx, wanted))

const app = Fastify()
app.setValidatorCompiler(validatorCompiler)
app.setSerializerCompiler(() => (payload) => JSON.stringify(payload))
problems(app)
await app.register(predictionRoutes, { prefix: '/v1/models', served, engines, blobs })
await app.listen({ port: 0, host: '127.0.0.1' })
process.send?.((app.server.address() as AddressInfo).port)

process.once('disconnect', async () => {
  await app.close()
  await engines.close()
  await db.destroy()
  await rm(folder, { recursive: true })
})
