/**
 * Labels and splits from `manifest.csv` (RFC 4180 with a header line) or `manifest.jsonl`: `path`,
 * `label` and perhaps `split`; other columns are left alone.
 */
import { parse } from 'csv-parse'
import { ServiceError } from '../errors.ts'
import { entryPath } from './archive/entry-path.ts'
import { normaliseLabel } from './label.ts'
import { splitNamed } from './layout.ts'
import type { ImportLimits } from './limits.ts'
import type { Split } from './pack-file.ts'
import type { FoundManifest } from './read-entries.ts'

export interface ManifestRow {
  /** Line or record number, the first row is 1. */
  readonly row: number
  /** Within the archive, in the spelling of `entryPath`. */
  readonly path: string
  readonly label: string
  readonly split: Split | null
}

/** A row that cannot be used, and why. */
export interface BadRow {
  readonly row: number
  readonly error: ServiceError
}

/**
 * Reads a manifest row by row. Paths are relative to the manifest's folder.
 *
 * @throws ServiceError MANIFEST_INVALID when it is no CSV at all or lacks a column.
 */
export async function* manifestRows(
  manifest: FoundManifest,
  limits: ImportLimits
): AsyncGenerator<ManifestRow | BadRow> {
  let row = 0
  for await (const record of manifest.format === 'csv' ? csv(manifest) : jsonl(manifest)) {
    row++
    try {
      yield asRow(row, record, manifest.folder, limits)
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error
      yield { row, error }
    }
  }
}

function asRow(
  row: number,
  record: unknown,
  folder: readonly string[],
  limits: ImportLimits
): ManifestRow {
  if (record instanceof ServiceError) throw record
  const fields = (typeof record === 'object' ? record : null) as Record<string, unknown> | null
  if (fields === null) throw bad('each row must be an object', record)
  const path = text(fields, 'path')
  const label = normaliseLabel(text(fields, 'label'))
  const given = fields.split ?? ''
  const split = typeof given === 'string' ? splitNamed(given) : null
  if (split === null && given !== '') {
    throw bad('split must be train, validation or test', given)
  }
  return { row, path: [...folder, ...entryPath(path, limits)].join('/'), label, split }
}

function text(fields: Record<string, unknown>, name: string): string {
  const value = fields[name]
  // Class names are often numbers in JSON.
  if (name === 'label' && typeof value === 'number') return String(value)
  if (typeof value !== 'string' || value === '') throw bad(`${name} must be a text`, value ?? null)
  return value
}

/** Rows as objects; one with too many cells as the error that it is, not as the end. */
async function* csv({ bytes }: FoundManifest): AsyncGenerator<unknown> {
  // Rows of any length, because one that lacks a cell is one bad row, not a bad manifest.
  const parser = parse({ bom: true, trim: true, skip_empty_lines: true, relax_column_count: true })
  parser.end(bytes)
  let names: readonly string[] | undefined
  try {
    for await (const cells of parser as AsyncIterable<string[]>) {
      if (names === undefined) names = columnsOf(cells)
      else yield asFields(names, cells)
    }
  } catch (error) {
    if (error instanceof ServiceError) throw error
    throw bad(error instanceof Error ? error.message : String(error))
  }
}

/** A label with a comma and no quotes makes a cell too many: to drop it would change the label. */
function asFields(names: readonly string[], cells: readonly string[]): unknown {
  if (cells.length <= names.length) {
    return Object.fromEntries(cells.map((cell, i) => [names[i], cell]))
  }
  return bad(`a row may have at most ${names.length} cells, as its header`, cells.join(','))
}

function columnsOf(header: readonly string[]): string[] {
  const names = header.map((name) => name.trim().toLowerCase())
  if (names.includes('path') && names.includes('label')) return names
  throw bad('the first line must name the columns path, label and perhaps split', header.join(','))
}

async function* jsonl({ bytes }: FoundManifest): AsyncGenerator<unknown> {
  const lines = new TextDecoder().decode(bytes).split('\n')
  for (const line of lines) {
    if (line.trim() === '') continue
    yield parsed(line)
  }
}

/** A line that is no JSON is a bad row, not the end: so it is given on as the text that it is. */
function parsed(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return line
  }
}

const bad = (reason: string, received?: unknown) =>
  new ServiceError('MANIFEST_INVALID', {
    detail: `Cannot use the manifest: ${reason}${
      received === undefined ? '' : `, received ${JSON.stringify(received).slice(0, 200)}`
    }`
  })
