/** The routes of models and predictions on a loopback port, over a real catalogue and real engines. */
import { mkdtemp, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import Fastify from 'fastify'
import { type Blobs, openBlobs } from '../../src/blob/blobs.ts'
import { type Catalog, openCatalog } from '../../src/catalog/open.ts'
import { publishVersion } from '../../src/catalog/publish-version.ts'
import { ServedModels } from '../../src/catalog/served-models.ts'
import { bodies } from '../../src/http/plugins/bodies.ts'
import { problems } from '../../src/http/plugins/problem.ts'
import { modelRoutes } from '../../src/http/routes/models.ts'
import { predictionRoutes } from '../../src/http/routes/predictions.ts'
import { validatorCompiler } from '../../src/http/validation.ts'
import { Engines, type EnginesOptions } from '../../src/infer/engines.ts'
import { brightClassifier, brightLabels, brightNetwork } from './bright-classifier.ts'
import { publication } from './publication.ts'

export interface ModelServer {
  readonly url: string
  readonly port: number
  readonly db: Catalog
  readonly blobs: Blobs
  readonly engines: Engines
  /** Publishes a classifier of dark and bright images, as variants baseline and int8. */
  publish(job: string, model?: string): Promise<number>
}

export async function modelServer(
  t: TestContext,
  { arrivalMs, ...options }: Partial<EnginesOptions & { readonly arrivalMs: number }> = {}
): Promise<ModelServer> {
  const folder = await mkdtemp(join(tmpdir(), 'whittle-models-'))
  const db = await openCatalog(':memory:')
  const blobs = await openBlobs(join(folder, 'blobs'))
  const engines = new Engines({ perModel: 1, ...options })
  const served = new ServedModels(db, () => 0)
  const app = Fastify({ forceCloseConnections: true })
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(() => (payload) => JSON.stringify(payload))
  problems(app)
  bodies(app)
  await app.register(modelRoutes, { prefix: '/v1/models', db, blobs })
  await app.register(predictionRoutes, {
    prefix: '/v1/models',
    served,
    engines,
    blobs,
    ...(arrivalMs === undefined ? {} : { arrivalMs })
  })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  t.after(async () => {
    await app.close()
    await engines.close()
    await db.destroy()
    await rm(folder, { recursive: true, force: true })
  })
  const publish = async (job: string, model = 'light') => {
    const files = await Promise.all(
      ['baseline', 'int8'].map(async (variant) => ({
        file: `${variant}.onnx`,
        mediaType: 'application/octet-stream',
        ...(await blobs.put(brightClassifier({ job, variant })))
      }))
    )
    const wanted = publication(job, { network: brightNetwork, labels: brightLabels })
    return db
      .transaction()
      .execute((trx) => publishVersion(trx, { ...wanted, model, artifacts: files }))
  }
  return { url, port: (app.server.address() as AddressInfo).port, db, blobs, engines, publish }
}
