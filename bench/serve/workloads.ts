/** What is asked: which model, in which form, with which images. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BenchModel } from './models.ts'
import { photographs, tensors, thumbnails } from './pictures.ts'

export interface Workload {
  readonly name: WorkloadName
  readonly about: string
  readonly model: BenchModel
  readonly form: 'encoded' | 'pixels'
  /** Media type of an encoded image. */
  readonly type: string
  readonly images: readonly Buffer[]
  /** The same, a file each. */
  readonly imageFiles: readonly string[]
}

export const workloadNames = ['jpeg', 'tensor', 'small-png', 'small-tensor'] as const
export type WorkloadName = (typeof workloadNames)[number]

const distinct = 256

export async function makeWorkload(
  name: WorkloadName,
  models: Record<'mobilenet' | 'small', BenchModel>,
  folder: string
): Promise<Workload> {
  const { mobilenet, small } = models
  const made = {
    jpeg: async () => ({
      about: 'JPEGs of 500x375 pixels, MobileNetV2 at 224 pixels in int8',
      model: mobilenet,
      form: 'encoded' as const,
      type: 'image/jpeg',
      images: await photographs(distinct)
    }),
    tensor: async () => ({
      about: 'uint8 tensors of 224x224x3, MobileNetV2 at 224 pixels in int8',
      model: mobilenet,
      form: 'pixels' as const,
      type: 'application/octet-stream',
      images: await tensors(distinct, mobilenet.input)
    }),
    'small-png': async () => ({
      about: 'PNGs of 32x32 pixels, simple-cnn at 32 pixels in int8',
      model: small,
      form: 'encoded' as const,
      type: 'image/png',
      images: await thumbnails(distinct)
    }),
    'small-tensor': async () => ({
      about: 'uint8 tensors of 32x32x3, simple-cnn at 32 pixels in int8',
      model: small,
      form: 'pixels' as const,
      type: 'application/octet-stream',
      images: await tensors(distinct, small.input)
    })
  }
  const workload = await made[name]()
  const own = join(folder, name)
  await mkdir(own, { recursive: true })
  const imageFiles = workload.images.map((_, i) => join(own, String(i)))
  await Promise.all(workload.images.map((image, i) => writeFile(imageFiles[i] ?? '', image)))
  return { name, ...workload, imageFiles }
}
