/** Bytes that rows refer to, each content counted once, as whole blocks of a file system. */
import { sql } from 'kysely'
import type { Catalog } from './open.ts'

export interface ReferencedBytes {
  /** Images of datasets, in all their versions. */
  readonly images: number
  /** Artifacts of published models. */
  readonly models: number
  /** Checkpoints and artifacts of jobs that have not ended, beyond those. */
  readonly checkpoints: number
}

const rowsAtOnce = 5000

/** @param block bytes of a block: a file takes whole ones */
export async function referencedBytes(db: Catalog, block: number): Promise<ReferencedBytes> {
  return {
    images: await imageBytes(db, block),
    models: await sumOf(sql`select distinct sha256, bytes from artifacts`, db, block),
    checkpoints: await sumOf(
      sql`select distinct sha256, bytes from job_files
        where sha256 not in (select sha256 from artifacts)`,
      db,
      block
    )
  }
}

/** Page by page, so that a million images do not keep others from the catalogue. */
async function imageBytes(db: Catalog, block: number): Promise<number> {
  let sum = 0
  for (let after = ''; ; ) {
    const rows = await db
      .selectFrom('dataset_images')
      .select(['sha256', (eb) => eb.fn.max('bytes').as('bytes')])
      .where('sha256', '>', after)
      .groupBy('sha256')
      .orderBy('sha256')
      .limit(rowsAtOnce)
      .execute()
    for (const { bytes } of rows) sum += Math.ceil(bytes / block) * block
    const last = rows.at(-1)
    if (last === undefined || rows.length < rowsAtOnce) return sum
    after = last.sha256
  }
}

async function sumOf(
  contents: ReturnType<typeof sql>,
  db: Catalog,
  block: number
): Promise<number> {
  const { rows } = await sql<{ readonly blocks: number | null }>`
    select sum((bytes + cast(${block} as integer) - 1) / cast(${block} as integer)) as blocks
    from (${contents})`.execute(db)
  return (rows[0]?.blocks ?? 0) * block
}
