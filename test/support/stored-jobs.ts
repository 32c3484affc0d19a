/** What a running whittle's catalogue holds of a job and no endpoint tells. */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Environment } from '../../src/contract/job.ts'
import type { Whittle } from './whittle.ts'

type Stored = Pick<Whittle, 'dataDir'>

/** The number of the newest checkpoint that the api keeps of a job; 0 without one. */
export function newestCheckpoint(whittle: Stored, job: string): number {
  const sql = `select max(seq) as found from job_files where job_id = ? and kind = 'checkpoint'`
  return Number(stored(whittle, sql, job) ?? 0)
}

/** Where the first attempt at a job computed. */
export function environmentOf(whittle: Stored, job: string): Environment | null {
  const found = stored(whittle, 'select environment as found from jobs where id = ?', job)
  return typeof found === 'string' ? JSON.parse(found) : null
}

function stored({ dataDir }: Stored, sql: string, job: string): unknown {
  const catalog = new DatabaseSync(join(dataDir, 'catalog', 'catalog.sqlite'), { readOnly: true })
  try {
    return catalog.prepare(sql).get(job)?.found
  } finally {
    catalog.close()
  }
}
