/** Webhooks: what a job asked to be told, each message that follows from it, and every try to deliver it. */
import { type Generated, type Kysely, sql } from 'kysely'
import type { DeliveryState } from '../../contract/delivery.ts'
import type { WebhookEvent } from '../../contract/job.ts'

export interface DeliveryTable {
  /** `msg_...`; the `webhook-id` of Standard Webhooks, the same at every try. */
  id: string
  job_id: string
  event: WebhookEvent
  url: string
  /** Of the URL: a host is sent to a few times at once at most. */
  host: string
  /** The body, byte for byte the same at every try. */
  payload: string
  state: DeliveryState
  /** Tries that failed since the message was made, or asked for again: its place in the back-off. */
  failures: number
  /** When to try (again); null exactly when the state is not pending. */
  next_at: string | null
  created_at: string
}

export interface DeliveryAttemptTable {
  seq: Generated<number>
  delivery_id: string
  at: string
  /** HTTP status of the answer, or null when there was none. */
  status: number | null
  error: string | null
  duration_ms: number
}

export interface DeliveryTables {
  deliveries: DeliveryTable
  delivery_attempts: DeliveryAttemptTable
}

export async function up(db: Kysely<never>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}

const statements = [
  // JSON of the spec's webhook.
  'alter table jobs add column webhook text',
  `create table deliveries (
    id text primary key,
    job_id text not null references jobs (id) on delete cascade,
    event text not null,
    url text not null,
    host text not null,
    payload text not null,
    state text not null check (state in ('pending', 'delivered', 'failed')),
    failures integer not null,
    next_at text,
    created_at text not null,
    unique (job_id, event),
    check ((state = 'pending') = (next_at is not null))
  ) strict`,
  'create index delivery_by_time on deliveries (next_at, host) where next_at is not null',
  // Counted at every look at the metrics.
  'create index delivery_by_state on deliveries (state)',
  `create table delivery_attempts (
    seq integer primary key autoincrement,
    delivery_id text not null references deliveries (id) on delete cascade,
    at text not null,
    status integer,
    error text,
    duration_ms integer not null
  ) strict`,
  'create index delivery_attempt_by_delivery on delivery_attempts (delivery_id, seq)'
]
