/** Loading what an alias is about to point at, so that the traffic finds it warmed up. */
import type { FastifyBaseLogger } from 'fastify'
import type { Blobs } from '../blob/blobs.ts'
import type { ServedModels, ServedVariant } from '../catalog/served-models.ts'
import type { AliasTarget } from '../contract/model.ts'
import { ServiceError } from '../errors.ts'
import type { Engines } from '../infer/engines.ts'
import type { ModelSwitch } from '../service/model-switch.ts'
import { engineModel } from './engine-model.ts'

export interface WarmDeps {
  readonly served: ServedModels
  readonly engines: Pick<Engines, 'load'>
  readonly blobs: Blobs
  readonly models: Pick<ModelSwitch, 'isOn'>
}

/** A version that takes longer takes over all the same: its first callers then wait in line. */
const longestMs = 20_000

/**
 * Has engines hold `targets` of `model` before traffic moves to them. One that cannot be loaded now is not kept
 * from being pointed at: it is logged.
 */
export async function warmTargets(
  { model, targets }: { readonly model: string; readonly targets: readonly AliasTarget[] },
  { served, engines, blobs, models }: WarmDeps,
  log: FastifyBaseLogger
): Promise<void> {
  if (!models.isOn(model)) return
  const warm = ({ version, variant }: AliasTarget): Promise<void> => {
    const choose = () => served.resolve(model, { version, variant })
    return warmVariant({ model, version, choose }, { engines, blobs }, log)
  }
  await withinPatience(Promise.all(targets.map(warm)))
}

interface ToWarm extends Pick<ServedVariant, 'model' | 'version'> {
  readonly choose: () => Promise<ServedVariant>
}

/** Has an engine hold one variant; that it cannot be loaded now is logged. */
export async function warmVariant(
  { model, version, choose }: ToWarm,
  { engines, blobs }: Pick<WarmDeps, 'engines' | 'blobs'>,
  log: FastifyBaseLogger
): Promise<void> {
  try {
    await engines.load(engineModel(await choose(), blobs))
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error
    log.warn({ model, version, code: error.code }, 'not warmed up: it takes over cold')
  }
}

/** Waits for `warming`, but not for longer than traffic may be kept from moving. */
export async function withinPatience(warming: Promise<unknown>): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, longestMs)
  try {
    await Promise.race([warming, late])
  } finally {
    clearTimeout(timer)
  }
}
