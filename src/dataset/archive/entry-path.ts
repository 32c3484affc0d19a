/** The path of an entry, checked and taken apart. It serves as a source of labels, never as a place. */
import { ServiceError } from '../../errors.ts'
import type { ImportLimits } from '../limits.ts'

/**
 * Segments of a path: NFC, both slashes, no empty and no `.` ones; the file name is the last.
 *
 * @throws ServiceError ARCHIVE_ENTRY_INVALID for absolute paths, `..`, NUL, excessive length or depth.
 */
export function entryPath(name: string, limits: ImportLimits): string[] {
  if (name.length > limits.pathLength) {
    throw refuse(`its path may have at most ${limits.pathLength} characters`, name)
  }
  if (name.includes('\0')) throw refuse('its path must not hold a NUL character', name)
  const path = name.normalize('NFC').replaceAll('\\', '/')
  if (path.startsWith('/') || /^[A-Za-z]:\//.test(path)) {
    throw refuse('its path must be relative', name)
  }
  const segments = path.split('/').filter((segment) => segment !== '' && segment !== '.')
  if (segments.includes('..')) throw refuse("its path must not hold '..'", name)
  if (segments.length > limits.pathDepth) {
    throw refuse(`its path may have at most ${limits.pathDepth} parts`, name)
  }
  return segments
}

/** What operating systems strew in: not part of anybody's data, so left out without a word. */
export function isClutter(segments: readonly string[]): boolean {
  const file = segments.at(-1)?.toLowerCase()
  return (
    segments.some((segment) => segment.startsWith('.') || segment === '__MACOSX') ||
    file === 'thumbs.db' ||
    file === 'desktop.ini'
  )
}

const refuse = (rule: string, name: string) =>
  new ServiceError('ARCHIVE_ENTRY_INVALID', {
    detail: `Cannot use the entry: ${rule}, received ${JSON.stringify(name.slice(0, 100))}${
      name.length > 100 ? ` and ${name.length - 100} characters more` : ''
    }`
  })
