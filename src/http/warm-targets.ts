/** Loading what an alias is about to point at, so that the traffic finds it warmed up. */
import type { FastifyBaseLogger } from 'fastify'
import type { Blobs } from '../blob/blobs.ts'
import type { ServedModels } from '../catalog/served-models.ts'
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
  const { promise: late, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, longestMs)
  const warm = async ({ version, variant }: AliasTarget): Promise<void> => {
    try {
      const chosen = await served.resolve(model, { version, variant })
      await engines.load(engineModel(chosen, blobs))
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error
      log.warn({ model, version, code: error.code }, 'not warmed up: it takes over cold')
    }
  }
  try {
    await Promise.race([Promise.all(targets.map(warm)), late])
  } finally {
    clearTimeout(timer)
  }
}
