/** What can be wrong with a job of any kind: the dataset that it names, and the address of its webhook. */
import { findDataset, versionFacts } from '../catalog/datasets.ts'
import type { Catalog } from '../catalog/open.ts'
import type { WebhookTargets } from '../contract/delivery.ts'
import { type Fault, ServiceError } from '../errors.ts'
import { urlFault } from '../webhook/address.ts'

export type Facts = NonNullable<Awaited<ReturnType<typeof versionFacts>>>

export interface Located {
  readonly dataset: { readonly id: string; readonly name: string }
  /** Null while the dataset is being imported. */
  readonly version: { readonly number: number; readonly facts: Facts } | null
}

/** The dataset version that a spec names, such as `digits` or `digits@3`; or why there is none. */
export async function locate(db: Catalog, named: string, id?: string): Promise<Located | Fault> {
  const [name = '', number] = named.split('@')
  const fault = (detail: string): Fault => ({ pointer: '/dataset', detail, received: named })
  const dataset = await findDataset(db, id ?? name)
  if (dataset === undefined) return noDataset(named)
  if (dataset.status === 'importing') return { dataset, version: null }
  if (dataset.status === 'failed') {
    return fault(`must be a usable dataset; its import failed: ${dataset.error?.detail}`)
  }
  const wanted = number === undefined ? dataset.version : Number(number)
  if (wanted === null) return fault('must be a dataset with images; it is empty')
  const facts = await versionFacts(db, dataset.id, wanted)
  if (facts === undefined) return fault(`must be a version that exists; newest: ${dataset.version}`)
  return { dataset, version: { number: wanted, facts } }
}

export const noDataset = (named: string): Fault => ({
  pointer: '/dataset',
  detail: 'must be the name or id of a dataset; there is none',
  received: named
})

/** What is wrong with the address of a webhook, in a spec that may not have passed its schema. */
export function faultsOfWebhook(spec: unknown, targets: WebhookTargets): Fault[] {
  const url = (spec as { webhook?: { url?: unknown } | null } | null)?.webhook?.url
  if (typeof url !== 'string') return []
  const detail = urlFault(url, targets)
  return detail === null ? [] : [{ pointer: '/webhook/url', detail, received: withoutSecrets(url) }]
}

/** Scheme and host of a URL: answers may be kept, and the rest of it may hold passwords and tokens. */
function withoutSecrets(url: string): string {
  if (!URL.canParse(url)) return url.slice(0, 100)
  const { protocol, host } = new URL(url)
  return `${protocol}//${host}`
}

export function refusal(errors: readonly Fault[], code: ServiceError['code'] = 'REQUEST_INVALID') {
  const found = errors.length === 1 ? 'one fault' : `${errors.length} faults`
  return new ServiceError(code, { detail: `Cannot queue the job: ${found} found`, errors })
}
