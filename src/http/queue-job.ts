/** What every POST that makes a job does once the job is planned: store it, remember the answer, dispatch. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { CatalogTransaction } from '../catalog/database.ts'
import { jobDocument } from '../catalog/job-document.ts'
import type { JobRow } from '../catalog/jobs.ts'
import type { Catalog } from '../catalog/open.ts'
import type { Dispatcher } from '../service/dispatcher.ts'
import type { Quotas } from '../service/quotas.ts'

export interface QueueDeps {
  readonly db: Catalog
  readonly dispatcher: Pick<Dispatcher, 'dispatch'>
  readonly quotas: Pick<Quotas, 'assertMayQueue'>
}

interface ToQueue<T> {
  /** Looks again, in the transaction, at what the plan rests on: it may have been deleted meanwhile. */
  readonly confirm: (trx: CatalogTransaction) => Promise<T>
  readonly create: (trx: CatalogTransaction, owner: string | null, confirmed: T) => Promise<JobRow>
}

/** Answers 202 with the job. @throws ServiceError QUOTA_EXCEEDED, and what `confirm` and `create` throw */
export async function queueJob<T>(
  { request, reply }: { readonly request: FastifyRequest; readonly reply: FastifyReply },
  { db, dispatcher, quotas }: QueueDeps,
  { confirm, create }: ToQueue<T>
) {
  const job = await db.transaction().execute(async (trx) => {
    const owner = request.caller?.id ?? null
    const confirmed = await confirm(trx)
    await quotas.assertMayQueue(trx, owner)
    const row = await create(trx, owner, confirmed)
    const [location, body] = [`/v1/jobs/${row.id}`, jobDocument(row)]
    await request.rememberAnswer(trx, { status: 202, location, body })
    return row
  })
  await dispatcher.dispatch(job)
  reply.code(202).header('location', `/v1/jobs/${job.id}`)
  return jobDocument(job)
}
