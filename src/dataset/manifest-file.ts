/** Reading the manifest of a dataset version, as a worker keeps it: a header, then a line per image. */
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import type { TSchema } from 'typebox'
import Value from 'typebox/value'
import { ManifestHeader, ManifestImage } from '../contract/internal.ts'
import { DamagedDataset } from './damaged-dataset.ts'

export interface Manifest {
  readonly header: ManifestHeader
  /** The rest of the file, line by line, once. */
  readonly images: AsyncGenerator<ManifestImage>
  /** Closes the file, whether or not it was read to its end. */
  close(): Promise<void>
}

/**
 * Opens a manifest. Memory does not grow with the number of its lines.
 *
 * @throws DamagedDataset when the file is not one, also later for a line that is no image, and when there
 *   are more or fewer images than the header counts.
 */
export async function readManifest(file: string): Promise<Manifest> {
  const lines = readLines(file)
  const { value, done } = await lines.next()
  const close = async (): Promise<void> => void (await lines.return(undefined))
  const header = done ? undefined : parse(ManifestHeader, value)
  if (header !== undefined) return { header, images: readImages(lines, header), close }
  await close()
  throw new DamagedDataset(`Cannot use the manifest ${file}: it has no header`)
}

async function* readLines(file: string): AsyncGenerator<string> {
  const stream = createReadStream(file)
  try {
    yield* createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY })
  } finally {
    stream.destroy()
  }
}

async function* readImages(
  lines: AsyncGenerator<string>,
  { counts, labels }: ManifestHeader
): AsyncGenerator<ManifestImage> {
  const found = { train: 0, validation: 0, test: 0 }
  for await (const line of lines) {
    const image = parse(ManifestImage, line)
    if (image === undefined || image.label >= labels.length) {
      throw new DamagedDataset(`Cannot use the manifest: received the line ${line.slice(0, 200)}`)
    }
    if (++found[image.split] > counts[image.split]) throw miscounted(counts, found)
    yield image
  }
  if (JSON.stringify(found) !== JSON.stringify(counts)) throw miscounted(counts, found)
}

const miscounted = (counts: object, found: object): Error =>
  new DamagedDataset(
    `Cannot use the manifest: it counts ${JSON.stringify(counts)}, received ${JSON.stringify(found)}`
  )

function parse<T extends TSchema>(schema: T, line: string) {
  try {
    const value: unknown = JSON.parse(line)
    return Value.Check(schema, value) ? value : undefined
  } catch {
    return undefined
  }
}
