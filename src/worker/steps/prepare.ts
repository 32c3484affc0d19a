/** Builds the pack of the job's dataset version at the network's size, or finds it built. */
import { join } from 'node:path'
import { buildPack, openPack, type Pack, packName } from '../../dataset/pack.ts'
import { imagesFile, manifestFile } from '../dataset-cache.ts'
import { isEnding, type JobContext, yieldToOrders } from '../job-context.ts'

export async function prepare(context: JobContext): Promise<Pack> {
  const { assignment, paths, progress, channel } = context
  const { inputSize: size, channels, resize } = assignment.recipe.network
  progress.at('prepare', 0)
  const { hash } = assignment.dataset
  const file = join(paths.packs, packName({ hash, size, channels, resize }))
  const abort = new AbortController()
  const building = buildPack({
    tar: join(paths.dataset, imagesFile),
    manifest: join(paths.dataset, manifestFile),
    out: file,
    size,
    channels,
    resize,
    signal: abort.signal,
    onProgress: (share) => {
      progress.at('prepare', share)
      if (isEnding(channel.control())) abort.abort()
    }
  })
  await building.catch(async (error) => {
    if (abort.signal.aborted) await yieldToOrders(context)
    throw error
  })
  const pack = openPack(file)
  const { train, validation, test } = pack
  channel.log(
    'info',
    `pack: ${train.count} train, ${validation.count} validation, ${test.count} test images, ${size}x${size}x${channels}`
  )
  return pack
}
