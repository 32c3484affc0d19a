/** The few REST calls of the demo, as any client would make them. */
import { openAsBlob } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Static } from 'typebox'
import type { Dataset, DatasetImage } from '../../src/contract/dataset.ts'
import type { Job, JobSpec, Metric } from '../../src/contract/job.ts'
import type { ModelVersion } from '../../src/contract/model.ts'
import type { PredictionAnswer } from '../../src/contract/prediction.ts'

type Answer = Static<typeof PredictionAnswer>

export interface Client {
  /** Uploads an archive and waits until it is imported. */
  upload(name: string, archive: string): Promise<Dataset>
  /** Posts a job and waits until it has ended; `onLook` sees it, and its metrics, twice a second. */
  run(spec: JobSpec, onLook: (job: Job, metrics: readonly Metric[]) => void): Promise<Job>
  version(model: string, version: number): Promise<ModelVersion>
  /** A few test images of every class, with their bytes, in turns. */
  testImages(dataset: Dataset, perClass: number): Promise<{ label: string; png: Blob }[]>
  predict(model: string, images: readonly Blob[]): Promise<Answer>
}

export function createClient(url: string): Client {
  const call = async <T>(path: string, init?: RequestInit): Promise<T> => {
    const answer = await fetch(url + path, init)
    const body = await answer.json()
    if (answer.ok) return body as T
    throw new Error(
      `${init?.method ?? 'GET'} ${path} was answered ${answer.status}: ${JSON.stringify(body)}`
    )
  }
  const post = <T>(path: string, body: unknown): Promise<T> =>
    call(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body)
    })
  return {
    async upload(name, archive) {
      const form = new FormData()
      form.set('name', name)
      form.set('file', await openAsBlob(archive), 'digits.zip')
      let dataset = await call<Dataset>('/v1/datasets', { method: 'POST', body: form })
      while (dataset.status === 'importing') {
        await sleep(200)
        dataset = await call<Dataset>(`/v1/datasets/${dataset.id}`)
      }
      if (dataset.status === 'ready') return dataset
      throw new Error(`The import failed: ${JSON.stringify(dataset.error)}`)
    },
    async run(spec, onLook) {
      let job = await post<Job>('/v1/jobs', spec)
      for (;;) {
        const { items } = await call<{ items: Metric[] }>(`/v1/jobs/${job.id}/metrics`)
        onLook(job, items)
        if (job.finishedAt !== null) break
        await sleep(500)
        job = await call<Job>(`/v1/jobs/${job.id}`)
      }
      if (job.state === 'completed') return job
      throw new Error(`The job is ${job.state}: ${JSON.stringify(job.error)}`)
    },
    version: (model, version) => call(`/v1/models/${model}/versions/${version}`),
    async testImages({ id, classes }, perClass) {
      const path = `/v1/datasets/${id}/images`
      const lists = await Promise.all(
        classes.map(({ label }) =>
          call<{ items: DatasetImage[] }>(
            `${path}?split=test&label=${encodeURIComponent(label)}&limit=${perClass}`
          )
        )
      )
      const turns = Array.from({ length: perClass }, (_, i) => lists.map(({ items }) => items[i]))
      const images = turns.flat().filter((image) => image !== undefined)
      return Promise.all(
        images.map(async ({ id, label }) => {
          const answer = await fetch(`${url}${path}/${id}`, { headers: { accept: 'image/png' } })
          return { label, png: await answer.blob() }
        })
      )
    },
    predict(model, images) {
      const form = new FormData()
      for (const image of images) form.append('image', image, 'digit.png')
      return call(`/v1/models/${model}/predictions`, { method: 'POST', body: form })
    }
  }
}
