/** A catalogue in a file of its own, and jobs in it, for one test. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { sql } from 'kysely'
import { createJob, type JobRow } from '../../src/catalog/jobs.ts'
import { type Catalog, openCatalog } from '../../src/catalog/open.ts'
import type { JobSpec } from '../../src/contract/job.ts'
import type { ResolvedRecipe } from '../../src/contract/recipe.ts'

/** A folder that is removed when the test ends. */
export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'whittle-test-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

export async function temporaryCatalog(t: TestContext): Promise<Catalog> {
  const folder = await temporaryFolder(t)
  const db = await openCatalog(join(folder, 'catalog.sqlite'))
  t.after(() => db.destroy())
  return db
}

const recipe: ResolvedRecipe = {
  preset: 'balanced',
  network: {
    architecture: 'simple-cnn',
    depth: 5,
    width: 1,
    inputSize: 28,
    channels: 1,
    resize: 'stretch'
  },
  augment: [],
  train: {
    epochs: 3,
    batchSize: 32,
    optimizer: { name: 'sgd', momentum: 0.9, nesterov: true, weightDecay: 0 },
    learningRate: 0.1,
    warmupEpochs: 0,
    schedule: 'cosine',
    labelSmoothing: 0,
    ema: null,
    earlyStopping: null
  },
  prune: null,
  quantize: null
}

const dataset = { id: 'ds_1', name: 'digits' }

/** A queued job on a dataset that is ready. */
export function queuedJob(
  db: Catalog,
  { owner = null, ...spec }: Partial<JobSpec> & { readonly owner?: string | null } = {},
  now?: Date
): Promise<JobRow> {
  const plan = { version: 1, hash: 'f00d', recipe, reasons: { '/network/inputSize': 'because' } }
  const whole = { dataset: 'digits', model: 'digits', ...spec }
  return createJob(db, { spec: whole, dataset, seed: 7, plan, owner }, now)
}

/** Lines in the log of a job, written at once. */
export async function writeLog(
  db: Catalog,
  { id, lines, message }: { readonly id: string; readonly lines: number; readonly message: string }
): Promise<void> {
  await sql`insert into job_logs (job_id, at, level, message)
    with recursive n (i) as (select 1 union all select i + 1 from n where i < ${lines})
    select ${id}, '2026-01-01T00:00:00Z', 'info', ${message} || ' ' || i from n`.execute(db)
}
