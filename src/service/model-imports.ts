/**
 * Takes models made elsewhere: read and tried in a process of their own, measured, and published.
 *
 * One at a time, since each may take gigabytes of memory while it is tried; a few may wait. Nothing is
 * published of what fails on the way, nor of a request whose sender has gone.
 */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Blobs } from '../blob/blobs.ts'
import type { CatalogTransaction } from '../catalog/database.ts'
import { readVersion } from '../catalog/models.ts'
import type { Catalog } from '../catalog/open.ts'
import { type Publication, publishVersion } from '../catalog/publish-version.ts'
import type { Artifact, ModelVersion } from '../contract/model.ts'
import type { ModelImportFields, ProbedModel } from '../contract/model-import.ts'
import type { Latency, VariantName, VersionReport } from '../contract/report.ts'
import { ServiceError } from '../errors.ts'
import { runProber } from '../foreign/run-prober.ts'
import type { Quotas } from './quotas.ts'
import { Turns } from './turns.ts'

export interface ModelImportsOptions {
  readonly db: Catalog
  readonly blobs: Blobs
  readonly quotas: Pick<Quotas, 'assertStored'>
  /** Images that one run of a model is given at most. */
  readonly maxBatch: () => number
  readonly measureLatency: (question: {
    readonly variants: readonly { readonly variant: VariantName; readonly path: string }[]
    readonly batch: number
    readonly threads: number
    readonly runs: number
    readonly signal: AbortSignal
  }) => Promise<Record<string, Latency>>
  /** Called before the version is published, and waited for. */
  readonly warmUp: (
    next: Pick<Publication, 'model' | 'alias' | 'report' | 'artifacts'>
  ) => Promise<void>
  /** Removes those of these contents that no row names. */
  readonly tidy: (contents: readonly string[]) => Promise<void>
}

/** A model as it was sent. */
export interface SentModel {
  readonly model: string
  readonly owner: string | null
  readonly labels: readonly string[]
  readonly said: ModelImportFields
  readonly file: { readonly path: string; readonly bytes: number }
  /** Where its files may be written until they are stored. */
  readonly folder: string
  /** Asked before bytes are written. @throws ServiceError DISK_FULL */
  readonly admit: (bytes: number) => Promise<void>
  /** Ends it all. */
  readonly signal: AbortSignal
  /** Called in the transaction that publishes the version, with what is answered. */
  readonly remember: (trx: CatalogTransaction, version: ModelVersion) => Promise<void>
}

export interface ModelImports {
  /**
   * Holds a place while `work` receives a model and has it taken. To be asked before anything is read: who
   * has sent gigabytes is not refused for want of a place any more.
   *
   * @throws ServiceError QUEUE_FULL
   */
  inPlace<T>(work: () => Promise<T>): Promise<T>
  /**
   * Publishes a model as the next version of its name.
   *
   * @throws ServiceError MODEL_INVALID, MODEL_UNSUPPORTED, MODEL_LIMIT, REQUEST_INVALID (what was said does not
   *   fit the model), QUOTA_EXCEEDED, DISK_FULL; the signal's reason when it aborts
   */
  take(sent: SentModel): Promise<ModelVersion>
}

/** As jobs have their variants measured, but fewer runs: somebody waits for the answer. */
const latencyOrder = { batch: 1, threads: 1, runs: 100 } as const
/** Models that are received, wait, are tried or measured, all together: each has its files on the disk. */
const places = 8
/** A guess: a model is tried and measured in a few seconds, and all are waiting. */
const retryAfter = 10
/** What the wrapped file has that the sent one has not: a few nodes. Names get a prefix as well. */
const wrappingShare = { factor: 1.1, bytes: 65_536 } as const

export function createModelImports(options: ModelImportsOptions): ModelImports {
  const { maxBatch, measureLatency } = options
  const turns = new Turns(1)
  let taken = 0
  return {
    async inPlace(work) {
      if (taken >= places) throw full()
      taken += 1
      try {
        return await work()
      } finally {
        taken -= 1
      }
    },
    async take(sent) {
      const { file, folder, labels, said, signal } = sent
      const { input, outputs, output, variant } = said
      const path = join(folder, `${variant}.onnx`)
      await sent.admit(Math.ceil(file.bytes * wrappingShare.factor) + wrappingShare.bytes)
      const order = {
        source: file.path,
        target: path,
        classes: labels.length,
        maxBatch: maxBatch(),
        said: { input, outputs, ...(output === undefined ? {} : { output }) }
      }
      const probed = await turns.run(() => runProber(order, { signal }))
      const variants = [{ variant, path }]
      const latencies = await measureLatency({ variants, ...latencyOrder, signal })
      const measured = { bytes: (await stat(path)).size, latency: latencies[variant] as Latency }
      const report = reportOf({ labels, said, probed, ...measured })
      return publish(options, { sent, path, report })
    }
  }
}

function full(): ServiceError {
  return new ServiceError('QUEUE_FULL', {
    detail: `Cannot take the model: at most ${places} may be under way, received one more`,
    retryAfter
  })
}

interface Finished {
  readonly sent: SentModel
  /** Of the wrapped file. */
  readonly path: string
  readonly report: VersionReport
}

/** Stores the files and writes the version; what is not referred to in the end is removed again. */
async function publish(
  { db, blobs, quotas, warmUp, tidy }: ModelImportsOptions,
  { sent, path, report }: Finished
): Promise<ModelVersion> {
  const { model, owner, said, labels, admit, signal, remember } = sent
  const files = [
    { file: 'labels.json', data: () => Buffer.from(`${JSON.stringify(labels)}\n`) },
    { file: 'source.onnx', data: () => createReadStream(sent.file.path) },
    { file: `${said.variant}.onnx`, data: () => createReadStream(path) }
  ]
  const alias = said.alias ?? null
  const artifacts: Artifact[] = []
  const store = async (): Promise<ModelVersion> => {
    const next = files[artifacts.length]
    if (next === undefined) {
      signal.throwIfAborted()
      await warmUp({ model, alias, report, artifacts })
      signal.throwIfAborted()
      return db.transaction().execute(write)
    }
    return blobs.keep(next.data(), { admit }, (stored) => {
      artifacts.push({ file: next.file, ...stored, mediaType: mediaTypeOf(next.file) })
      return store()
    })
  }
  const write = async (trx: CatalogTransaction): Promise<ModelVersion> => {
    const made = { job: null, dataset: null, model, report, artifacts, alias, owner }
    const version = await publishVersion(trx, made)
    await quotas.assertStored(trx, owner, sum(artifacts))
    const document = await readVersion(trx, model, version)
    await remember(trx, document)
    return document
  }
  try {
    return await store()
  } catch (error) {
    await tidy(artifacts.map(({ sha256 }) => sha256))
    throw error
  }
}

const mediaTypeOf = (file: string): string =>
  file.endsWith('.json') ? 'application/json' : 'application/octet-stream'

const sum = (artifacts: readonly Artifact[]): number =>
  artifacts.reduce((total, { bytes }) => total + bytes, 0)

interface Known extends Pick<SentModel, 'labels' | 'said'> {
  readonly probed: ProbedModel
  /** Of the wrapped file. */
  readonly bytes: number
  readonly latency: Latency
}

/** Says what is known, and of the rest that it is not: nobody has shown the model a labelled image. */
function reportOf({ labels, said, probed, bytes, latency }: Known): VersionReport {
  const { inputSize, channels, parameters, source } = probed
  const { variant, resize } = said
  return {
    labels: [...labels],
    network: { architecture: 'onnx', inputSize, channels, resize },
    recommended: variant,
    recommendation: 'the only variant; made elsewhere, its accuracy has not been measured here',
    variants: {
      [variant]: {
        from: null,
        file: `${variant}.onnx`,
        bytes,
        parameters,
        macs: null,
        accuracy: null,
        perClass: [],
        confusion: [],
        calibrationError: null,
        latency,
        versusBaseline: null,
        goal: null
      }
    },
    source
  }
}
