/** Every accepted job: there, ended once and as it was asked to, with one version that is the right one. */
import { createHash } from 'node:crypto'
import type { Job } from '../../src/contract/job.ts'
import type { Model, ModelVersion } from '../../src/contract/model.ts'
import type { Run } from './actions.ts'
import type { Invariant } from './invariant.ts'
import type { AcceptedJob } from './ledger.ts'
import { digestsOf, metricsOf, type Reference, referenceModel } from './reference.ts'

export const jobInvariants: readonly Invariant[] = [
  { name: 'every accepted job is there, and each only once', check: checkJobs },
  { name: 'a job that has ended stays as it was', check: forEachJob(checkUnchanged) },
  { name: 'jobs end as they were asked to', check: forEachJob(checkEnd) },
  { name: 'one version per completed job, none for others', check: forEachJob(checkVersions) },
  { name: 'the bytes are those of the undisturbed run', check: forEachJob(checkBytes) },
  { name: 'no epoch is missing, double or another one', check: forEachJob(checkMetrics) },
  { name: 'the alias points where it was put last', check: checkAliases }
]

type JobCheck = (run: Run, job: AcceptedJob) => Promise<void>

function forEachJob(look: JobCheck): Invariant['check'] {
  return async (run) => {
    for (const job of run.ledger.jobs) await look(run, job)
  }
}

async function checkJobs({ client, ledger }: Run): Promise<void> {
  const listed = await client.list<Job>('/v1/jobs')
  const ids = new Set(listed.map(({ id }) => id))
  for (const { id, model, seen } of ledger.jobs) {
    if (!ids.has(id)) ledger.find('lost', `${model} is not listed`, seen)
  }
  const accepted = new Set(ledger.jobs.map(({ id }) => id))
  for (const job of listed) {
    if (!accepted.has(job.id)) ledger.find('doubled', `${job.model} has a second job`, job)
  }
  if (ids.size !== listed.length) ledger.find('doubled', 'a job is listed twice', [...ids])
}

async function checkUnchanged({ client, ledger }: Run, { id, model, seen }: AcceptedJob) {
  const { body } = await client.insist<Job>({ path: `/v1/jobs/${id}` })
  if (JSON.stringify(body) === JSON.stringify(seen)) return
  ledger.find('wrong', `${model} has changed after its end`, [seen, body])
}

async function checkEnd({ client, ledger }: Run, { id, model, asked, seen }: AcceptedJob) {
  const expected = asked === 'cancel' ? 'cancelled' : 'completed'
  if (seen.state === expected) return
  const { body: log } = await client.insist<string>({ path: `/v1/jobs/${id}/logs` })
  const verdict = expected === 'completed' ? 'lost' : 'wrong'
  ledger.find(verdict, `${model} is ${seen.state}, not ${expected}`, [seen, log.slice(-4000)])
}

async function checkVersions({ client, ledger }: Run, { id, model, seen }: AcceptedJob) {
  const { status, body } = await client.insist<Model>({ path: `/v1/models/${model}` })
  const own = status === 200 ? body.versions.filter(({ job }) => job === id) : []
  if (seen.state === 'completed' && own.length === 0) {
    ledger.find('lost', `${model} has no version`, [seen, body])
  }
  if (own.length > 1) ledger.find('doubled', `${model} has ${own.length} versions`, body)
  if (seen.state !== 'completed' && own.length > 0) {
    ledger.find('wrong', `${model} is ${seen.state} and has a version`, body)
  }
}

async function checkBytes(run: Run, { model, asked, seen, kind }: AcceptedJob) {
  const { client, ledger, references } = run
  if (seen.state !== 'completed') return
  const path = `/v1/models/${model}/versions/${seen.result?.version}`
  const { body } = await client.insist<ModelVersion>({ path })
  for (const { file, sha256 } of body.artifacts) await checkArtifact(run, path, file, sha256)
  if (asked !== null) return
  const expected = references.byKind.get(kind)?.digests ?? {}
  const digests = digestsOf(body)
  const names = new Set([...Object.keys(expected), ...Object.keys(digests)])
  const other = [...names].filter((file) => expected[file] !== digests[file])
  if (other.length > 0) ledger.find('wrong', `${model}: other bytes in ${other}`, [seen, body])
  if (seen.bitExact === false) ledger.find('wrong', `${model} says it is not bit-exact`, seen)
}

async function checkArtifact(
  { client, ledger }: Run,
  version: string,
  file: string,
  sha256: string
): Promise<void> {
  const answer = await fetch(`${client.url}${version}/artifacts/${file}`)
  const bytes = Buffer.from(await answer.arrayBuffer())
  const received = createHash('sha256').update(bytes).digest('hex')
  if (received === sha256) return
  ledger.find('lost', `${version}/${file} was answered ${answer.status}, ${received}`, sha256)
}

async function checkMetrics(
  { client, ledger, references }: Run,
  { id, model, ...job }: AcceptedJob
) {
  const metrics = await metricsOf(client, id)
  const reference = references.byKind.get(job.kind)
  if (reference === undefined) return
  const isWhole = job.seen.state === 'completed' && job.asked === null
  const fault = isWhole ? whole(metrics, reference) : part(metrics, reference)
  if (fault !== undefined) ledger.find('wrong', `${model}: ${fault}`, metrics.map(epochOf).join())
}

function whole(metrics: readonly string[], reference: Reference): string | undefined {
  const at = reference.metrics.findIndex((metric, i) => metric !== metrics[i])
  if (at === -1 && metrics.length === reference.metrics.length) return undefined
  return `epoch ${at} of ${metrics.length} is ${metrics[at]}, not ${reference.metrics[at]}`
}

const epochOf = (metric: string): string => JSON.parse(metric).slice(0, 2).join(' ')

/** A job that was cut short, maybe in an epoch: its training begins like the undisturbed one. */
function part(metrics: readonly string[], reference: Reference): string | undefined {
  const trained = metrics.filter((metric) => metric.startsWith('["train"'))
  for (const [i, metric] of trained.entries()) {
    const expected = reference.metrics[i] ?? '[]'
    if (metric === expected) continue
    const isLast = i === trained.length - 1
    if (isLast && epochOf(metric) === epochOf(expected)) continue
    return `epoch ${i} is ${metric}, not ${expected}`
  }
  return undefined
}

async function checkAliases({ client, ledger }: Run): Promise<void> {
  const { body } = await client.insist<Model>({ path: `/v1/models/${referenceModel}` })
  for (const [alias, { version, variant }] of ledger.aliases) {
    const found = body.aliases.find((one) => one.alias === alias)
    const [target] = found?.targets ?? []
    if (target?.version === version && target.variant === variant) continue
    ledger.find('lost', `alias ${alias} does not point to ${version} ${variant}`, body.aliases)
  }
}
