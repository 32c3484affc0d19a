/** A deliverer over a real catalogue, with a clock that tests set, and jobs whose end is to be told. */
import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import type { TestContext } from 'node:test'
import { jobDeliveries } from '../../src/catalog/deliveries.ts'
import { cancelJob } from '../../src/catalog/jobs.ts'
import type { Catalog } from '../../src/catalog/open.ts'
import type { Delivery } from '../../src/contract/delivery.ts'
import type { Webhook } from '../../src/contract/job.ts'
import { Deliverer, type DelivererOptions } from '../../src/service/deliverer.ts'
import type { Resolve } from '../../src/webhook/resolve.ts'
import { quiet } from './api-app.ts'
import { queuedJob, temporaryCatalog } from './catalog.ts'
import { until } from './until.ts'

export const start = 1_800_000_000_000
export const key = Buffer.alloc(32, 'k')
const toLoopback: Resolve = async () => [{ address: '127.0.0.1', family: 4 }]

interface Setting extends Partial<DelivererOptions> {
  readonly db?: Catalog
}

/** A deliverer whose clock stands still until a test sets it. */
export async function setting(t: TestContext, changes: Setting = {}) {
  const db = changes.db ?? (await temporaryCatalog(t))
  const clock = { now: start }
  const options = {
    key: async () => key,
    targets: 'any',
    // Far longer than any test: no receiver here is meant to be too slow.
    timeoutMs: 600_000,
    log: quiet(),
    resolve: toLoopback,
    now: () => new Date(clock.now),
    ...changes,
    db
  } as const
  const deliverer = new Deliverer(options)
  t.after(() => deliverer.close())
  return { db, deliverer, clock }
}

/** A job that has ended by being cancelled, whose end is to be told. */
export async function toldJob(
  db: Catalog,
  webhook: Webhook,
  at = new Date(start)
): Promise<string> {
  const { id } = await queuedJob(db, { webhook })
  await cancelJob(db, id, at)
  return id
}

export async function onlyDelivery(db: Catalog, job: string): Promise<Delivery> {
  const [delivery, ...others] = await jobDeliveries(db, job)
  assert.ok(delivery)
  assert.equal(others.length, 0)
  return delivery
}

/** Waits until `tries` tries have been written down. */
export async function tried(db: Catalog, job: string, tries: number): Promise<Delivery> {
  await until(async () => (await onlyDelivery(db, job)).attempts.length >= tries)
  const delivery = await onlyDelivery(db, job)
  assert.equal(delivery.attempts.length, tries)
  return delivery
}

export const statuses = ({ attempts }: Delivery) => attempts.map(({ status }) => status)
export const answering =
  (...codes: number[]) =>
  (response: ServerResponse, n: number) =>
    void response.writeHead(codes[n] ?? 200).end()
