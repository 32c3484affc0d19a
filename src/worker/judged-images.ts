/** The images of a pack that judge a model: those of a split, or all, with labels as the model counts them. */
import type { JudgedSplit } from '../contract/evaluation.ts'
import type { Pack } from '../dataset/pack.ts'
import { splits } from '../dataset/pack-file.ts'
import type { ImageSource } from '../image/source.ts'

/**
 * Classes are matched by name. A class that the model lacks becomes -1, which no evaluation lets pass; such
 * a dataset is refused before it comes to that.
 *
 * @param labels of the model, by class index
 */
export function judgedImages(
  pack: Pack,
  { labels, split }: { readonly labels: readonly string[]; readonly split: JudgedSplit }
): ImageSource {
  const parts = (split === 'all' ? splits : [split]).map((name) => pack[name])
  const classOf = pack.labels.map((label) => labels.indexOf(label))
  const of = Int32Array.from(
    parts.flatMap((part) => [...part.labels]),
    (label) => classOf[label] ?? -1
  )
  const { size, channels } = pack
  return { count: of.length, size, channels, labels: of, read: reader(parts) }
}

/** Reads by position in the parts, one after the other. */
function reader(parts: readonly ImageSource[]): ImageSource['read'] {
  return (positions, into) => {
    let first = 0
    let at = 0
    const wanted = Array.from(positions)
    for (const part of parts) {
      const each = part.size * part.size * part.channels
      const end = first + part.count
      // Whoever evaluates walks from the first to the last, so a run lies in one part and then the next.
      const run: number[] = []
      while (at + run.length < wanted.length) {
        const position = wanted[at + run.length] ?? -1
        if (position < first || position >= end) break
        run.push(position - first)
      }
      part.read(run, into.subarray(at * each))
      at += run.length
      first = end
    }
    if (at < wanted.length) {
      throw new RangeError(
        `Cannot read an image: positions rise within 0..${first - 1}, received ${wanted[at]}`
      )
    }
  }
}
