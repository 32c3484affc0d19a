/** Every accepted dataset: there, imported whole, with the same splits as the one of the references. */
import type { Dataset, DatasetVersion } from '../../src/contract/dataset.ts'
import type { Run } from './actions.ts'
import type { Invariant } from './invariant.ts'

export const datasetInvariants: readonly Invariant[] = [
  { name: 'every accepted dataset is there and whole, and each only once', check: checkDatasets }
]

async function checkDatasets({ client, ledger }: Run): Promise<void> {
  const listed = await client.list<Dataset>('/v1/datasets')
  const byId = new Map(listed.map((dataset) => [dataset.id, dataset]))
  const hashes = new Set<string>()
  for (const { id, name, images } of ledger.datasets) {
    const dataset = byId.get(id)
    if (dataset === undefined) ledger.find('lost', `dataset ${name} is not listed`, id)
    else if (dataset.status !== 'ready') ledger.find('lost', `dataset ${name} failed`, dataset)
    else if (dataset.images !== images) {
      ledger.find('lost', `dataset ${name} has ${dataset.images} of ${images} images`, dataset)
    }
    const path = `/v1/datasets/${id}/versions`
    const { body } = await client.insist<{ items: DatasetVersion[] }>({ path })
    if (body.items.length !== 1) ledger.find('doubled', `versions of dataset ${name}`, body)
    for (const { hash } of body.items) hashes.add(hash)
  }
  if (hashes.size > 1) ledger.find('wrong', 'the same images are split in two ways', [...hashes])
  const accepted = new Set(ledger.datasets.map(({ id }) => id))
  for (const dataset of listed) {
    if (!accepted.has(dataset.id)) ledger.find('doubled', 'a dataset nobody was told of', dataset)
  }
}
