/**
 * A small labelled dataset that a network can learn in seconds: discs, squares and crosses.
 *
 * Drawn from a seed, each image with its own place, size, colour and noise, so that accuracy says
 * something about learning.
 */
import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import sharp from 'sharp'
import { pack } from 'tar-stream'
import type { ManifestHeader, ManifestImage } from '../../src/contract/internal.ts'
import { Random, randomKey } from '../../src/tensor/random.ts'

export const shapeLabels = ['cross', 'disc', 'square'] as const
export type ShapeLabel = (typeof shapeLabels)[number]

export interface ShapeImage {
  readonly label: ShapeLabel
  readonly png: Buffer
}

const side = 16

/** `perClass` images of every label, in turns. */
export async function shapeImages(seed: number, perClass: number): Promise<ShapeImage[]> {
  const images: ShapeImage[] = []
  for (let i = 0; i < perClass; i++) {
    for (const label of shapeLabels) images.push({ label, png: await draw(label, seed, i) })
  }
  return images
}

/** Writes `manifest.jsonl` and `images.tar` as a worker keeps them; returns the manifest's header. */
export async function writeShapesDataset(
  folder: string,
  { seed, perClass }: { readonly seed: number; readonly perClass: number }
): Promise<ManifestHeader> {
  const images = await shapeImages(seed, perClass)
  const tar = pack()
  const written = pipeline(tar, createWriteStream(join(folder, 'images.tar')))
  const rows: ManifestImage[] = []
  for (const [i, { label, png }] of images.entries()) {
    const sha256 = createHash('sha256').update(png).digest('hex')
    tar.entry({ name: sha256 }, png)
    const turn = Math.floor(i / shapeLabels.length) % 5
    const split = turn === 3 ? 'validation' : turn === 4 ? 'test' : 'train'
    rows.push({ sha256, label: shapeLabels.indexOf(label), split, bytes: png.length })
  }
  tar.finalize()
  await written
  const inSplit = (split: string) => rows.filter((row) => row.split === split).length
  const hash = createHash('sha256').update(JSON.stringify(rows)).digest('hex')
  const header = {
    id: 'ds_shapes',
    name: 'shapes',
    version: 1,
    hash,
    labels: [...shapeLabels],
    counts: { train: inSplit('train'), validation: inSplit('validation'), test: inSplit('test') }
  }
  const lines = [header, ...rows].map((line) => `${JSON.stringify(line)}\n`)
  await writeFile(join(folder, 'manifest.jsonl'), lines.join(''))
  return header
}

async function draw(label: ShapeLabel, seed: number, index: number): Promise<Buffer> {
  const random = new Random(randomKey(seed, label, index))
  const radius = random.between(3, 5)
  const [x, y] = [random.between(6, 10), random.between(6, 10)]
  const colour = [0, 1, 2].map(() => random.between(120, 255))
  const pixels = new Uint8Array(side * side * 3)
  for (let i = 0; i < side * side; i++) {
    const inside = covers[label]((i % side) - x, Math.floor(i / side) - y, radius)
    for (let c = 0; c < 3; c++) {
      pixels[i * 3 + c] = (inside ? (colour[c] ?? 0) : 30) * random.between(0.8, 1)
    }
  }
  return sharp(pixels, { raw: { width: side, height: side, channels: 3 } })
    .png()
    .toBuffer()
}

type Covers = (dx: number, dy: number, radius: number) => boolean

const covers: Readonly<Record<ShapeLabel, Covers>> = {
  disc: (dx, dy, radius) => dx * dx + dy * dy < radius * radius,
  square: (dx, dy, radius) => Math.max(Math.abs(dx), Math.abs(dy)) < radius * 0.9,
  cross: (dx, dy, radius) =>
    Math.min(Math.abs(dx), Math.abs(dy)) < 1.2 && Math.max(Math.abs(dx), Math.abs(dy)) < radius
}
