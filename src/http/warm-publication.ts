/** Loading a version that is about to be published, where publishing it moves traffic to it. */
import type { FastifyBaseLogger } from 'fastify'
import { movedTraffic } from '../catalog/moved-traffic.ts'
import type { Catalog } from '../catalog/open.ts'
import type { Publication } from '../catalog/publish-version.ts'
import type { Engines } from '../infer/engines.ts'
import { type WarmDeps, warmVariant, withinPatience } from './warm-targets.ts'

export interface WarmPublicationDeps extends Omit<WarmDeps, 'engines' | 'served'> {
  readonly db: Catalog
  readonly engines: Pick<Engines, 'load' | 'status'>
}

/** What is known of a version before it has a number. */
export type NextVersion = Pick<Publication, 'model' | 'alias' | 'report' | 'artifacts'>

/**
 * Has an engine hold `next` if its callers are there already: an alias that it takes over, or the lack of a
 * `production`, points at a version that an engine holds. To be called before the transaction that publishes.
 *
 * Publishing goes on whatever comes of it. A job of hours has ended well, and a model was sent and tried: neither
 * fails, or waits for more than a while, because the engines are busy. What is not loaded by then takes over
 * cold, and its first callers wait in line; that is logged.
 *
 * It is loaded under the number that it will have. Where another version is published meanwhile it gets the next
 * one and takes over cold, and what was loaded goes when others need the place; so does what was loaded for a
 * publication that was refused after all. To publish first and move the alias later would spare that, but an
 * api that ends in between would leave a completed job whose alias never moves.
 */
export async function warmPublication(
  next: NextVersion,
  { db, engines, blobs, models }: WarmPublicationDeps,
  log: FastifyBaseLogger
): Promise<void> {
  const { model, report, artifacts } = next
  if (!models.isOn(model)) return
  const { version, from } = await movedTraffic(db, next)
  const held = engines.status.models.filter((one) => one.engines > 0).map(({ serves }) => serves)
  if (!held.some((one) => one.model === model && from.includes(one.version))) return
  const { recommended: variant, labels, network, variants } = report
  const sha256 = artifacts.find(({ file }) => file === variants[variant]?.file)?.sha256
  // A report that does not fit its files is refused by whoever publishes it.
  if (sha256 === undefined) return
  const chosen = { model, version, variant, labels, network, sha256 }
  const choose = async () => chosen
  await withinPatience(warmVariant({ model, version, choose }, { engines, blobs }, log))
}
