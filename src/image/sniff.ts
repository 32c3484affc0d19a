/**
 * What a file is, by its first bytes. Names and declared media types are never believed.
 *
 * The list of formats is closed on purpose: every loader more is a parser more that hostile bytes
 * can reach (see `decode.ts`).
 */

export const imageFormats = ['jpeg', 'png', 'webp', 'gif'] as const
export type ImageFormat = (typeof imageFormats)[number]

/** The list as people read it, for error details. */
export const supportedImages = 'JPEG, PNG, WebP or GIF'

export const mediaTypeOf: Readonly<Record<ImageFormat, string>> = {
  jpeg: 'image/jpeg',
  png: 'image/png',
  webp: 'image/webp',
  gif: 'image/gif'
}

type Test = (b: Uint8Array) => boolean

const startsWith =
  (...bytes: number[]): Test =>
  (b) =>
    bytes.every((value, i) => b[i] === value)
const ascii = (text: string, at = 0): Test => {
  const bytes = Buffer.from(text, 'latin1')
  return (b) => bytes.every((value, i) => b[at + i] === value)
}

const signatures: Readonly<Record<ImageFormat, Test>> = {
  jpeg: startsWith(0xff, 0xd8, 0xff),
  png: startsWith(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a),
  webp: (b) => ascii('RIFF')(b) && ascii('WEBP', 8)(b),
  gif: (b) => ascii('GIF87a')(b) || ascii('GIF89a')(b)
}

/** Formats that are refused, so that the refusal can name what came instead. */
const foreign: readonly (readonly [string, Test])[] = [
  ['a BMP image', ascii('BM')],
  ['a TIFF image', (b) => ascii('II*\0')(b) || ascii('MM\0*')(b) || ascii('II+\0')(b)],
  ['a HEIF or AVIF image', ascii('ftyp', 4)],
  ['a JPEG XL image', (b) => startsWith(0xff, 0x0a)(b) || ascii('JXL ', 4)(b)],
  ['a JPEG 2000 image', (b) => ascii('jP  ', 4)(b) || startsWith(0xff, 0x4f, 0xff, 0x51)(b)],
  ['a Photoshop file', ascii('8BPS')],
  ['a PDF document', ascii('%PDF')],
  ['a zip archive', (b) => ascii('PK\x03\x04')(b) || ascii('PK\x05\x06')(b)],
  ['gzip data', startsWith(0x1f, 0x8b)],
  ['a bzip2 archive', ascii('BZh')],
  ['an xz archive', startsWith(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00)],
  ['a Zstandard archive', startsWith(0x28, 0xb5, 0x2f, 0xfd)],
  ['a 7z archive', startsWith(0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c)],
  ['a RAR archive', ascii('Rar!')],
  ['a tar archive', ascii('ustar', 257)],
  ['an executable', (b) => ascii('MZ')(b) || ascii('\x7fELF')(b)],
  ['an icon', startsWith(0, 0, 1, 0)]
]

/** The format of an encoded image, or null when it is none of the supported ones. */
export function sniffImage(bytes: Uint8Array): ImageFormat | null {
  return imageFormats.find((format) => signatures[format](bytes)) ?? null
}

/** Names what `bytes` begin with, for the detail of a refusal: `a PNG image`, `text`, `an empty file`. */
export function describeBytes(bytes: Uint8Array): string {
  if (bytes.length === 0) return 'an empty file'
  const format = sniffImage(bytes)
  if (format !== null) return `a ${format === 'webp' ? 'WebP' : format.toUpperCase()} image`
  const known = foreign.find(([, test]) => test(bytes))
  if (known !== undefined) return known[0]
  const head = Buffer.from(bytes.subarray(0, 512)).toString('latin1')
  if (/<svg[\s>]/i.test(head)) return 'an SVG image'
  // Control characters other than tab, line feed and carriage return do not occur in text.
  const isText = [...head].every((c) => c >= ' ' || c === '\t' || c === '\n' || c === '\r')
  return isText ? 'text' : `unknown data (first bytes ${hex(bytes.subarray(0, 4))})`
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex').replace(/../g, '$& ').trim()
