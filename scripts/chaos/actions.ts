/** What callers do to a whittle under test, each remembered in the ledger as soon as it is accepted. */
import type { Dataset } from '../../src/contract/dataset.ts'
import type { Job, JobSpec } from '../../src/contract/job.ts'
import { type Answer, type Call, type Client, codeOf } from './client.ts'
import { Follower } from './follower.ts'
import type { Instance } from './instance.ts'
import { type AcceptedDataset, type AcceptedJob, hasEnded, type Ledger } from './ledger.ts'
import type { ChaosOptions } from './options.ts'
import type { Receiver } from './receiver.ts'
import { baseDataset, kinds, type References, uploadForm } from './reference.ts'

/** Everything of one run. */
export interface Run {
  readonly options: ChaosOptions
  readonly instance: Instance
  readonly client: Client
  readonly ledger: Ledger
  readonly references: References
  readonly receiver: Receiver
  /** Where the receiver is told of the ends of jobs. */
  readonly webhookUrl: string
  /** Numbers of things posted, so that no two have the same name. */
  readonly numbers: Iterator<number>
}

/** 0, 1, 2 ... */
export function* countUp(): Generator<number, never> {
  for (let number = 0; ; number += 1) yield number
}

export const mayPost = ({ ledger, options }: Run): boolean => ledger.jobs.length < options.jobs

interface PostOptions {
  /** @default the dataset of the references */
  readonly dataset?: string
  /** Done while the first try is under way; a second one follows it. */
  readonly meanwhile?: () => Promise<void>
}

/** Posts a job until it is accepted. With `meanwhile` at least twice, under one key. */
export async function postJob(run: Run, options: PostOptions = {}): Promise<AcceptedJob> {
  const number = Number(run.numbers.next().value)
  const kind = Object.keys(kinds)[number % Object.keys(kinds).length] ?? ''
  const { dataset = baseDataset.name } = options
  const model = `job-${number}`
  const webhook = { url: run.webhookUrl }
  const json: JobSpec = { dataset, model, webhook, ...kinds[kind] }
  const call: Call = { method: 'POST', path: '/v1/jobs', json, key: model }
  const { body, status } = await create<Job>(run, call, options.meanwhile)
  if (status !== 202) throw new Error(`${model} was refused: ${JSON.stringify(body)}`)
  const follower = new Follower(`${run.client.url}/v1/jobs/${body.id}/events`)
  const job = { id: body.id, model, kind, asked: null, seen: body, hits: 0, follower }
  run.ledger.jobs.push(job)
  return job
}

/** Uploads the images of the references under a new name until they are accepted. */
export async function uploadDataset(
  run: Run,
  meanwhile?: (call: Call) => Promise<void>
): Promise<AcceptedDataset> {
  const name = `set-${run.numbers.next().value}`
  const form = (): FormData => uploadForm(name, run.references.zip)
  const call: Call = { method: 'POST', path: '/v1/datasets', form, key: name }
  await meanwhile?.(call)
  const { body, status } = await create<Dataset>(run, call)
  if (status !== 202) throw new Error(`${name} was refused: ${JSON.stringify(body)}`)
  const dataset = { id: body.id, name, images: baseDataset.images }
  run.ledger.datasets.push(dataset)
  return dataset
}

/** Asks for a job to be cancelled or stopped; what was answered is binding for its end. */
export async function order(run: Run, job: AcceptedJob, asked: 'cancel' | 'stop'): Promise<string> {
  const path = `/v1/jobs/${job.id}/${asked}`
  const answer = await run.client.insist<Job>({ method: 'POST', path })
  if (answer.status === 202) {
    job.asked = asked
    return `${job.model} was asked to ${asked}`
  }
  const { body } = await run.client.insist<Job>({ path: `/v1/jobs/${job.id}` })
  if (codeOf(answer) !== 'JOB_ENDED' || !hasEnded(body)) {
    run.ledger.find('wrong', `${asked} of ${job.model}, which is ${body.state}`, answer.body)
  }
  return `${job.model} had ended before it could be asked to ${asked}`
}

/** Two tries that overlap must give one thing. */
async function create<T extends { readonly id: string }>(
  { client, ledger }: Run,
  call: Call,
  meanwhile?: () => Promise<void>
): Promise<Answer<T>> {
  if (meanwhile === undefined) return client.insist<T>(call)
  const first = client.ask<T>(call)
  await meanwhile()
  const final = await client.insist<T>(call)
  const earlier = await first
  if (earlier !== undefined && earlier.status < 300 && earlier.body.id !== final.body.id) {
    ledger.find('doubled', `${call.path} with key ${call.key}`, [earlier.body, final.body])
  }
  return final
}
