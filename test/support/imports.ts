/** Archives through the real importer process, and what is expected to come of them. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { ImportReport } from '../../src/contract/dataset.ts'
import type { ImportedImage } from '../../src/contract/importer.ts'
import { stagedFile, stagedImages } from '../../src/dataset/import.ts'
import { type ImportLimits, importLimits } from '../../src/dataset/limits.ts'
import { runImporter } from '../../src/dataset/run-importer.ts'
import type { ErrorCode, ServiceError } from '../../src/errors.ts'
import { flatImage } from './images.ts'

export interface Imported {
  readonly report: ImportReport | null
  readonly error: ServiceError | null
  /** What would be committed, with the bytes; empty when the import failed. */
  readonly images: readonly (ImportedImage & { readonly content: Buffer })[]
}

export interface ImportCase {
  readonly name: string
  readonly archive: () => Promise<Uint8Array> | Uint8Array
  readonly strict?: boolean
  readonly limits?: Partial<ImportLimits>
  /** Code of the whole import's error, by default none. */
  readonly error?: ErrorCode
  /** Code of each fault by file, by default none at all; of an import without a report not asked. */
  readonly faults?: Readonly<Record<string, ErrorCode>>
  /** Images that stay, by default the two of `twoClasses`. */
  readonly kept?: number
  readonly also?: (imported: Imported) => Promise<void> | void
}

/** The least that makes a dataset: an image each of `cat` and `dog`, to stand beside what is bad. */
export const twoClasses = async () => [
  { name: 'cat/1.png', bytes: await flatImage(40) },
  { name: 'dog/1.png', bytes: await flatImage(200) }
]

/** One test a case, as many at a time as there are processors. */
export function testImports(cases: readonly ImportCase[]): void {
  test('imports', { concurrency: availableParallelism() }, async (t) => {
    await Promise.all(cases.map((given) => t.test(given.name, () => check(given))))
  })
}

async function check(given: ImportCase): Promise<void> {
  const { error, faults = {}, kept = 2, also } = given
  const imported = await importArchive(given)
  const { report } = imported
  const told = `${imported.error?.message ?? ''} ${JSON.stringify(report)}`
  assert.equal(imported.error?.code, error, told)
  if (report !== null) {
    const found = report.faults.map(({ file, code }) => [file, code])
    assert.deepEqual(Object.fromEntries(found), faults, told)
    assert.equal(report.faultsTotal, report.faults.length)
    for (const { detail } of report.faults) assert.match(detail, /^Cannot \w+ the .+: .+/)
  }
  if (error === undefined) {
    assert.equal(report?.kept, kept, told)
    assert.equal(imported.images.length, kept)
  } else assert.match(imported.error?.detail ?? '', /^Cannot .+: .+/)
  await also?.(imported)
}

/** Runs one archive through the importer in a temporary folder. */
export async function importArchive({
  archive,
  strict = false,
  limits
}: Pick<ImportCase, 'archive' | 'strict' | 'limits'>): Promise<Imported> {
  const folder = await mkdtemp(join(tmpdir(), 'whittle-import-'))
  try {
    const [staging, file] = [join(folder, 'staging'), join(folder, 'archive')]
    await mkdir(staging)
    await writeFile(file, await archive())
    const order = { kind: 'archive', staging, archive: file, strict } as const
    const result = await runImporter(order, { limits: { ...importLimits, ...limits } })
    return { ...result, images: result.error === null ? await readImages(staging) : [] }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function readImages(staging: string): Promise<Imported['images']> {
  const lines = (await readFile(stagedImages(staging), 'utf8')).split('\n').filter(Boolean)
  const images: ImportedImage[] = lines.map((line) => JSON.parse(line))
  return Promise.all(
    images.map(async (image) => ({
      ...image,
      content: await readFile(stagedFile(staging, image.sha256))
    }))
  )
}
