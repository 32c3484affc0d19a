/** Class names: any script, one spelling, nothing invisible. */
import { ServiceError } from '../errors.ts'

/** In code points. */
const maxLabelLength = 100

/**
 * Control, format (but the joiners that Persian and Indic scripts need), surrogate and private-use
 * characters, line separators, and U+FFFD, which stands for bytes that were no UTF-8.
 */
const forbidden = /[\p{Cc}\p{Cs}\p{Co}\p{Zl}\p{Zp}\uFFFD]|(?![\u200C\u200D])\p{Cf}/u

/**
 * The one spelling of a label: NFC (UAX #15), without white space around it.
 *
 * @throws ServiceError LABEL_INVALID when it is empty, too long, or holds characters one cannot see.
 */
export function normaliseLabel(received: string): string {
  const label = received.normalize('NFC').trim()
  const refuse = (reason: string) =>
    new ServiceError('LABEL_INVALID', {
      detail: `Cannot use the label: ${reason}, received ${JSON.stringify(received.slice(0, 200))}`
    })
  if (label === '') throw refuse('it must not be empty')
  const length = [...label].length
  if (length > maxLabelLength) throw refuse(`at most ${maxLabelLength} characters are allowed`)
  const found = forbidden.exec(label)?.[0]?.codePointAt(0)
  if (found !== undefined) {
    throw refuse(`it must not hold U+${found.toString(16).toUpperCase().padStart(4, '0')}`)
  }
  return label
}
