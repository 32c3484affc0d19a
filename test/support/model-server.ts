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
import type { PublishedReport } from '../../src/contract/report.ts'
import type { RolledBack } from '../../src/contract/rollback.ts'
import type { Sketch } from '../../src/contract/sketch.ts'
import { bodies } from '../../src/http/plugins/bodies.ts'
import { problems } from '../../src/http/plugins/problem.ts'
import { requestSpans } from '../../src/http/plugins/request-spans.ts'
import { driftRoutes } from '../../src/http/routes/drift.ts'
import { inferenceRoutes } from '../../src/http/routes/inference.ts'
import { modelRoutes } from '../../src/http/routes/models.ts'
import {
  type PredictionRoutesOptions,
  predictionRoutes
} from '../../src/http/routes/predictions.ts'
import { validatorCompiler } from '../../src/http/validation.ts'
import { Engines, type EnginesOptions } from '../../src/infer/engines.ts'
import { Canaries } from '../../src/service/canaries.ts'
import { Drift } from '../../src/service/drift.ts'
import { ModelSwitch } from '../../src/service/model-switch.ts'
import { PredictionMemory } from '../../src/service/prediction-memory.ts'
import { noTracing } from '../../src/trace/tracing.ts'
import { quiet } from './api-app.ts'
import { brightClassifier, brightLabels, brightNetwork } from './bright-classifier.ts'
import { publication } from './publication.ts'

export interface ModelServer {
  readonly url: string
  readonly port: number
  readonly db: Catalog
  readonly blobs: Blobs
  readonly engines: Engines
  readonly drift: Drift
  /** Publishes a classifier of dark and bright images, as variants baseline and int8. */
  publish(job: string, model?: string, other?: OtherModel): Promise<number>
}

type ModelServerOptions = Partial<
  EnginesOptions &
    Pick<PredictionRoutesOptions, 'arrivalMs' | 'metrics' | 'tracing'> & {
      /** Decides between the targets of an alias. @default always the first */
      readonly draw: () => number
      readonly onRolledBack: (event: RolledBack) => void
    }
>

/** What is published in place of the classifier. */
export interface OtherModel {
  readonly file?: (variant: string) => Uint8Array
  readonly network?: PublishedReport['network']
  readonly reference?: Sketch
}

export async function modelServer(
  t: TestContext,
  {
    arrivalMs,
    metrics = { imagesAsked() {} },
    draw = () => 0,
    onRolledBack = () => {},
    tracing = noTracing,
    ...options
  }: ModelServerOptions = {}
): Promise<ModelServer> {
  const folder = await mkdtemp(join(tmpdir(), 'whittle-models-'))
  const db = await openCatalog(':memory:')
  const blobs = await openBlobs(join(folder, 'blobs'))
  const drift = new Drift({ db, window: 400, log: quiet() })
  const engines = new Engines({
    perModel: 1,
    onSeen: (model, seen) => drift.observe(model, seen),
    ...options
  })
  const served = new ServedModels(db, draw)
  const canaries = new Canaries({ db, log: quiet(), onRolledBack })
  const app = Fastify({ forceCloseConnections: true })
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(() => (payload) => JSON.stringify(payload))
  problems(app)
  requestSpans(app, tracing)
  bodies(app)
  const dispatcher = { tidy: async () => {} }
  const asked = {
    db,
    served,
    engines,
    blobs,
    canaries,
    tracing,
    models: new ModelSwitch(),
    metrics,
    memory: new PredictionMemory({ db, days: 7, images: 1000 }),
    version: '0.0.0',
    ...(arrivalMs === undefined ? {} : { arrivalMs })
  }
  await app.register(modelRoutes, { ...asked, dispatcher, prefix: '/v1/models' })
  await app.register(driftRoutes, { drift, prefix: '/v1/models' })
  await app.register(predictionRoutes, { ...asked, prefix: '/v1/models' })
  await app.register(inferenceRoutes, { ...asked, prefix: '/v2' })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  t.after(async () => {
    await app.close()
    await canaries.close()
    await engines.close()
    await db.destroy()
    await rm(folder, { recursive: true, force: true })
  })
  const publish = async (job: string, model = 'light', other: OtherModel = {}) => {
    const files = await Promise.all(
      ['baseline', 'int8'].map(async (variant) => ({
        file: `${variant}.onnx`,
        mediaType: 'application/octet-stream',
        ...(await blobs.put(other.file?.(variant) ?? brightClassifier({ job, variant })))
      }))
    )
    const wanted = publication(job, {
      network: other.network ?? brightNetwork,
      labels: brightLabels
    })
    const { reference } = other
    if (reference !== undefined) {
      for (const variant of Object.values(wanted.report.variants)) variant.reference = reference
    }
    return db
      .transaction()
      .execute((trx) => publishVersion(trx, { ...wanted, model, artifacts: files }))
  }
  return {
    url,
    port: (app.server.address() as AddressInfo).port,
    db,
    blobs,
    engines,
    drift,
    publish
  }
}
