/**
 * Builds the pack of the job's dataset version at the network's size, or finds it built.
 *
 * The pack is the one piece that no checkpoint holds: it is large, cached by content for all jobs of a
 * worker, and comes out the same on every machine, so a worker that does not have it builds it.
 */
import { join } from 'node:path'
import type { Assignment } from '../../contract/job.ts'
import { buildPack, openPack, type Pack, packName } from '../../dataset/pack.ts'
import { making, touch, useEntry } from '../cache-eviction.ts'
import { imagesFile, manifestFile } from '../dataset-cache.ts'
import { inputOf } from '../input-of.ts'
import type { JobContext } from '../job-context.ts'
import { yieldToOrders } from '../orders.ts'

export async function prepare(
  context: Pick<JobContext, 'paths' | 'progress' | 'channel'> & { readonly assignment: Assignment }
): Promise<Pack> {
  const { assignment, paths, progress, channel } = context
  const { size, channels, resize } = inputOf(assignment)
  progress.at('prepare', 0)
  await yieldToOrders(context)
  const { hash } = assignment.dataset
  const file = join(paths.packs, packName({ hash, size, channels, resize }))
  // Held for as long as this process lives: the pack is read until the job has ended.
  useEntry(file)
  const build = () =>
    buildPack({
      tar: join(paths.dataset, imagesFile),
      manifest: join(paths.dataset, manifestFile),
      out: file,
      size,
      channels,
      resize,
      signal: channel.ended,
      onProgress: (share) => progress.at('prepare', share)
    })
  await making(paths.packs, build).catch(async (error) => {
    await yieldToOrders(context)
    throw error
  })
  const pack = openPack(file)
  await touch(file)
  const { train, validation, test } = pack
  channel.log(
    'info',
    `pack: ${train.count} train, ${validation.count} validation, ${test.count} test images, ${size}x${size}x${channels}`
  )
  return pack
}
