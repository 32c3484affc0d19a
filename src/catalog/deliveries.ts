/**
 * Messages that jobs asked for: written with the end they tell of, due until somebody has taken them.
 *
 * A row that is due stays so until the outcome of a try is written, so a process that dies in between
 * sends the message again: at least once, with the same id.
 */
import type { Selectable } from 'kysely'
import type { Delivery, DeliveryState } from '../contract/delivery.ts'
import type { Webhook, WebhookEvent } from '../contract/job.ts'
import { ServiceError } from '../errors.ts'
import type { CatalogTransaction } from './database.ts'
import { newId } from './id.ts'
import { jobDocument } from './job-document.ts'
import type { JobRow } from './jobs.ts'
import type { DeliveryTable } from './migration/0005-deliveries.ts'
import type { Catalog } from './open.ts'

export type DeliveryRow = Selectable<DeliveryTable>

/** Stores the message about a job that has just ended, if its spec asks for one. */
export async function announceEnd(trx: CatalogTransaction, job: JobRow, now: Date): Promise<void> {
  if (job.webhook === null) return
  const { url, events }: Webhook = JSON.parse(job.webhook)
  const event = job.state as WebhookEvent
  if (events !== undefined && !events.includes(event)) return
  const at = now.toISOString()
  const payload = { type: `job.${event}`, timestamp: at, data: jobDocument(job, now) }
  const message = { id: newId('msg', now.getTime()), job_id: job.id, event, url }
  await trx
    .insertInto('deliveries')
    .values({
      ...message,
      host: new URL(url).hostname,
      payload: JSON.stringify(payload),
      state: 'pending',
      failures: 0,
      next_at: at,
      created_at: at
    })
    .execute()
}

interface DueFilter {
  readonly now: Date
  /** Messages that are being sent, or are not to be sent for now. */
  readonly without: readonly string[]
  /** Hosts that are being sent to as often as they may. */
  readonly busyHosts: readonly string[]
}

/** The message that has been due for longest, or undefined. */
export function nextDue(db: Catalog, { now, without, busyHosts }: DueFilter) {
  return db
    .selectFrom('deliveries')
    .selectAll()
    .where('next_at', '<=', now.toISOString())
    .where('id', 'not in', [...without])
    .where('host', 'not in', [...busyHosts])
    .orderBy('next_at')
    .limit(1)
    .executeTakeFirst()
}

/** When the next message becomes due that is not due yet; null when there is none. */
export async function nextDueAt(db: Catalog, now: Date): Promise<Date | null> {
  const row = await db
    .selectFrom('deliveries')
    .select('next_at')
    .where('next_at', '>', now.toISOString())
    .orderBy('next_at')
    .limit(1)
    .executeTakeFirst()
  return row?.next_at ? new Date(row.next_at) : null
}

export interface DeliveryAttempt {
  readonly at: Date
  readonly status: number | null
  readonly error: string | null
  readonly durationMs: number
}

/** What follows from a try. */
export interface Conclusion {
  readonly state: DeliveryState
  /** When to try again: a time exactly with `pending`. */
  readonly nextAt: Date | null
}

/**
 * Writes down a try and what follows from it. No effect when the job has been deleted meanwhile.
 *
 * @param conclude from the tries that have failed before this one, as they are counted now
 */
export function settleDelivery(
  db: Catalog,
  id: string,
  { at, status, error, durationMs }: DeliveryAttempt,
  conclude: (failures: number) => Conclusion
): Promise<void> {
  return db.transaction().execute(async (trx) => {
    const row = await trx
      .selectFrom('deliveries')
      .select('failures')
      .where('id', '=', id)
      .executeTakeFirst()
    if (row === undefined) return
    const { state, nextAt } = conclude(row.failures)
    const failures = row.failures + (error === null ? 0 : 1)
    await trx
      .updateTable('deliveries')
      .set({ state, failures, next_at: nextAt?.toISOString() ?? null })
      .where('id', '=', id)
      .execute()
    const attempt = { delivery_id: id, at: at.toISOString(), status, error }
    await trx
      .insertInto('delivery_attempts')
      .values({ ...attempt, duration_ms: durationMs })
      .execute()
  })
}

/** The messages about a job, oldest first, each with its newest tries. */
export async function jobDeliveries(db: Catalog, job: string): Promise<Delivery[]> {
  const rows = await db
    .selectFrom('deliveries')
    .selectAll()
    .where('job_id', '=', job)
    .orderBy('id')
    .execute()
  return Promise.all(rows.map((row) => deliveryDocument(db, row)))
}

const attemptsShown = 100

async function deliveryDocument(db: Catalog, row: DeliveryRow): Promise<Delivery> {
  const { id, event, url, state } = row
  const newest = await db
    .selectFrom('delivery_attempts')
    .selectAll()
    .where('delivery_id', '=', id)
    .orderBy('seq', 'desc')
    .limit(attemptsShown)
    .execute()
  const attempts = newest
    .reverse()
    .map(({ at, status, error, duration_ms }) => ({ at, status, error, durationMs: duration_ms }))
  return { id, event, url, state, nextAt: row.next_at, attempts, createdAt: row.created_at }
}

interface DeliveryRef {
  readonly job: string
  readonly delivery: string
}

/**
 * Makes a message due now, with all its tries before it, whatever became of it so far. Idempotent until
 * the next try has ended.
 *
 * @throws ServiceError DELIVERY_NOT_FOUND
 */
export async function redeliver(
  db: Catalog,
  { job, delivery }: DeliveryRef,
  now = new Date()
): Promise<Delivery> {
  const row = await db
    .updateTable('deliveries')
    .set({ state: 'pending', failures: 0, next_at: now.toISOString() })
    .where('id', '=', delivery)
    .where('job_id', '=', job)
    .returningAll()
    .executeTakeFirst()
  if (row !== undefined) return deliveryDocument(db, row)
  throw new ServiceError('DELIVERY_NOT_FOUND', {
    detail: `Cannot find the delivery: received ${JSON.stringify(delivery.slice(0, 100))}`
  })
}
