/**
 * What every job must come out like: each kind of job runs once before anything is disturbed.
 *
 * A kind is a recipe and a seed. Jobs of one kind must end with the same bytes, the same metrics and
 * hence the same answers, however often they were interrupted; so all that they are compared with is
 * gathered here, over HTTP.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import type { Dataset } from '../../src/contract/dataset.ts'
import type { Job, JobSpec, Metric } from '../../src/contract/job.ts'
import type { ModelVersion } from '../../src/contract/model.ts'
import type { PredictionAnswer } from '../../src/contract/prediction.ts'
import { shapeImages } from '../../test/support/shapes-dataset.ts'
import { shapesZip } from '../../test/support/whittle.ts'
import type { Client } from './client.ts'
import { hasEnded, type Ledger } from './ledger.ts'

type Recipe = Pick<JobSpec, 'seed' | 'recipe'>

const network = { architecture: 'simple-cnn', width: 0.5, inputSize: 16 } as const
const quantize = { images: 64 }

/** Long enough to be killed in, small enough to end. */
export const kinds: Readonly<Record<string, Recipe>> = {
  pruned: {
    seed: 11,
    recipe: {
      network,
      train: { epochs: 60, batchSize: 8, learningRate: 0.02 },
      prune: { macs: 0.5, roundTo: 8, epochs: 20 },
      quantize
    }
  },
  plain: {
    seed: 12,
    recipe: { network, train: { epochs: 50, batchSize: 8, learningRate: 0.02 }, quantize }
  }
}

export const baseDataset = { name: 'shapes', seed: 4, perClass: 60, images: 180 } as const
export const referenceModel = 'reference'

export interface Reference {
  readonly kind: string
  /** Version of the reference model that the undisturbed job has published. */
  readonly version: number
  readonly metrics: readonly string[]
  /** SHA-256 by file, without reports, which hold measured times. */
  readonly digests: Readonly<Record<string, string>>
  /** Label and score of each question, by variant. */
  readonly answers: ReadonlyMap<string, readonly Guess[]>
}

export interface Guess {
  readonly label: string
  readonly score: number
}

export interface References {
  readonly zip: Buffer<ArrayBuffer>
  /** Images that the models are asked about. */
  readonly questions: readonly Buffer[]
  readonly byKind: ReadonlyMap<string, Reference>
}

/** Uploads the dataset and runs a job of every kind. @throws Error when one of them does not end well */
export async function makeReferences(client: Client, ledger: Ledger): Promise<References> {
  const zip = await shapesZip(baseDataset)
  const { body } = await client.insist<Dataset>({
    method: 'POST',
    path: '/v1/datasets',
    form: () => uploadForm(baseDataset.name, zip),
    key: 'dataset-base'
  })
  ledger.datasets.push({ id: body.id, name: body.name, images: baseDataset.images })
  const questions = (await shapeImages(99, 4)).map(({ png }) => png)
  const byKind = new Map<string, Reference>()
  for (const [kind, recipe] of Object.entries(kinds)) {
    const job = await runUndisturbed(client, kind, recipe)
    byKind.set(kind, await referenceOf(client, kind, job, questions))
    ledger.jobs.push({
      id: job.id,
      model: referenceModel,
      kind,
      asked: null,
      seen: job,
      hits: 0,
      follower: null
    })
  }
  return { zip, questions, byKind }
}

export function uploadForm(name: string, zip: Buffer<ArrayBuffer>): FormData {
  const form = new FormData()
  form.set('name', name)
  form.set('file', new Blob([zip]), 'shapes.zip')
  return form
}

async function runUndisturbed(client: Client, kind: string, recipe: Recipe): Promise<Job> {
  const json: JobSpec = { dataset: baseDataset.name, model: referenceModel, ...recipe }
  const key = `job-reference-${kind}`
  const posted = await client.insist<Job>({ method: 'POST', path: '/v1/jobs', json, key })
  if (posted.status !== 202) throw new Error(`Cannot post ${kind}: ${JSON.stringify(posted.body)}`)
  let job = posted.body
  while (!hasEnded(job)) {
    await sleep(200)
    job = (await client.insist<Job>({ path: `/v1/jobs/${job.id}` })).body
  }
  if (job.state === 'completed') return job
  throw new Error(`The undisturbed job ${kind} is ${job.state}: ${JSON.stringify(job.error)}`)
}

async function referenceOf(
  client: Client,
  kind: string,
  { id, result }: Job,
  questions: readonly Buffer[]
): Promise<Reference> {
  const version = result?.version ?? 0
  const { body } = await client.insist<ModelVersion>({
    path: `/v1/models/${referenceModel}/versions/${version}`
  })
  const answers = new Map<string, readonly Guess[]>()
  for (const variant of Object.keys(body.variants)) {
    const path = `/v1/models/${referenceModel}/predictions?version=${version}&variant=${variant}`
    const guesses: Guess[] = []
    for (const png of questions) {
      const answer = await client.insist<PredictionAnswer>({ method: 'POST', path, png })
      guesses.push(guessOf(answer.body))
    }
    answers.set(variant, guesses)
  }
  const metrics = await metricsOf(client, id)
  return { kind, version, metrics, digests: digestsOf(body), answers }
}

/** What an answer to one image says. @throws TypeError when it says an error */
export function guessOf({ predictions: [first] }: PredictionAnswer): Guess {
  if (first !== undefined && 'label' in first) return { label: first.label, score: first.score }
  throw new TypeError(`Cannot read a prediction: received ${JSON.stringify(first)}`)
}

/** The epochs of a job as they must come out again: all but the clock. */
export async function metricsOf(client: Client, job: string): Promise<string[]> {
  const { body } = await client.insist<{ items: Metric[] }>({ path: `/v1/jobs/${job}/metrics` })
  return body.items.map(signatureOf)
}

/** An epoch without what a clock has measured. */
export const signatureOf = (metric: Metric): string => {
  const { stage, epoch, loss, accuracy, validation, learningRate } = metric
  return JSON.stringify([stage, epoch, loss, accuracy, validation, learningRate])
}

export const digestsOf = ({ artifacts }: ModelVersion): Record<string, string> =>
  Object.fromEntries(
    artifacts
      .filter(({ file }) => !file.startsWith('report'))
      .map(({ file, sha256 }) => [file, sha256])
  )
