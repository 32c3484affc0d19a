/**
 * Files that running jobs keep with the api: checkpoints to resume from, artifacts to publish.
 *
 * The catalogue has their names and checksums; their bytes are blobs. When a job ends, what it kept
 * is forgotten here, and what was published is referred to by its version.
 */
import { jobStates } from '../contract/job.ts'
import type { CatalogTransaction } from './database.ts'
import { type AttemptRef, fenced } from './job-attempts.ts'
import { hasEnded } from './job-state.ts'
import { updateJob } from './jobs.ts'
import type { JobFileTable } from './migration/0002-jobs.ts'
import type { Catalog } from './open.ts'

type FileKind = JobFileTable['kind']

/** A damaged checkpoint costs one step back, not the job. */
const keptCheckpoints = 2

export interface StoredFile {
  readonly name: string
  readonly sha256: string
  readonly bytes: number
}

interface NewFile extends StoredFile {
  /** Checkpoints that the attempt could not use: they go before older ones. @default none */
  readonly damaged?: readonly string[]
}

/**
 * Refers to a stored blob by name. Returns the contents that it supersedes. A checkpoint is progress, after
 * which crashes are counted anew, however the attempt then ends.
 */
export function keepFile(
  db: Catalog,
  { id, attempt }: AttemptRef,
  kind: FileKind,
  { name, sha256, bytes, damaged = [] }: NewFile
): Promise<string[]> {
  return db.transaction().execute(async (trx) => {
    await fenced(trx, { id, attempt })
    const before = await filesOf(trx, id, kind)
    const replaced = before.filter((file) => file.name === name)
    const others = before.filter((file) => file.name !== name)
    const outdated = kind === 'checkpoint' ? outdatedOf(others, damaged) : []
    const superseded = [...outdated, ...replaced]
    await remove(
      trx,
      superseded.map(({ seq }) => seq)
    )
    const row = { job_id: id, kind, name, sha256, bytes }
    await trx.insertInto('job_files').values(row).execute()
    if (kind === 'checkpoint') await updateJob(trx, id, { crashes: 0 })
    return superseded.map((file) => file.sha256)
  })
}

/** Of the checkpoints so far, newest first, those that a new one leaves no place for. */
function outdatedOf<T extends StoredFile>(files: readonly T[], damaged: readonly string[]): T[] {
  const isDamaged = ({ name }: T): boolean => damaged.includes(name)
  const sound = files.filter((file) => !isDamaged(file))
  return [...sound, ...files.filter(isDamaged)].slice(keptCheckpoints - 1)
}

/** Checkpoints of a job, newest first. */
export async function jobCheckpoints(db: Catalog, id: string): Promise<StoredFile[]> {
  const rows = await filesOf(db, id, 'checkpoint')
  return rows.map(({ name, sha256, bytes }) => ({ name, sha256, bytes }))
}

export async function findFile(
  db: Catalog,
  id: string,
  kind: FileKind,
  name: string
): Promise<StoredFile | undefined> {
  return (await filesOf(db, id, kind)).find((file) => file.name === name)
}

/** Artifacts of a job as a version lists them, by name. */
export async function jobArtifacts(db: Catalog | CatalogTransaction, id: string) {
  const rows = await filesOf(db, id, 'artifact')
  return rows
    .map(({ name, sha256, bytes }) => ({ file: name, sha256, bytes, mediaType: mediaType(name) }))
    .sort((a, b) => (a.file < b.file ? -1 : 1))
}

/** Forgets every file of the jobs that have ended. Returns their contents. */
export async function dropEndedFiles(db: Catalog): Promise<string[]> {
  const ended = jobStates.filter(hasEnded)
  const rows = await db
    .deleteFrom('job_files')
    // Asked of each file: there are few, while jobs that have ended become ever more.
    .where(({ exists, selectFrom }) =>
      exists(
        selectFrom('jobs')
          .select('id')
          .whereRef('jobs.id', '=', 'job_files.job_id')
          .where('state', 'in', ended)
      )
    )
    .returning('sha256')
    .execute()
  return rows.map(({ sha256 }) => sha256)
}

/** Those of `contents` that neither a running job nor a published version refers to. */
export async function unreferenced(
  db: Catalog | CatalogTransaction,
  contents: readonly string[]
): Promise<string[]> {
  const found: string[] = []
  for (const sha256 of new Set(contents)) {
    const tables = ['job_files', 'artifacts'] as const
    const uses = await Promise.all(
      tables.map((table) =>
        db.selectFrom(table).select('sha256').where('sha256', '=', sha256).executeTakeFirst()
      )
    )
    if (uses.every((row) => row === undefined)) found.push(sha256)
  }
  return found
}

const filesOf = (db: Catalog | CatalogTransaction, id: string, kind: FileKind) =>
  db
    .selectFrom('job_files')
    .selectAll()
    .where('job_id', '=', id)
    .where('kind', '=', kind)
    .orderBy('seq', 'desc')
    .execute()

async function remove(trx: CatalogTransaction, rows: readonly number[]): Promise<void> {
  if (rows.length > 0) await trx.deleteFrom('job_files').where('seq', 'in', rows).execute()
}

const mediaType = (file: string): string =>
  file.endsWith('.json') ? 'application/json' : 'application/octet-stream'
