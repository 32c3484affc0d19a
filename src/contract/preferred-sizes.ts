/** The sizes of `WHITTLE_PREFERRED_BATCH_SIZES`: `4,8`, in any order. */

/**
 * Reads distinct integers from 1 to `maxBatch`, separated by commas; ascending whatever their order was.
 *
 * Faults complete the sentence `WHITTLE_PREFERRED_BATCH_SIZES ...`.
 */
export function readPreferredSizes(text: string, maxBatch: number) {
  if (text === '') return { sizes: [], faults: [] }
  const parts = text.split(',').map((part) => part.trim())
  const sizes = parts.map((part) => (/^\d{1,15}$/.test(part) ? Number(part) : 0))
  const areRight = sizes.every((size) => size >= 1 && size <= maxBatch)
  if (areRight && new Set(sizes).size === sizes.length) {
    return { sizes: sizes.sort((a, b) => a - b), faults: [] }
  }
  const wanted = `distinct integers from 1 to ${maxBatch}, the largest batch`
  return { sizes: [], faults: [`must be ${wanted}, separated by commas, received "${text}"`] }
}
