/**
 * Entry of the importer process: reads one hostile archive, or a few hostile images, and exits.
 *
 * Started by `run-importer.ts` with memory limits; it gets its order by IPC and ends with its
 * parent, so a killed api leaves no importer behind.
 */
import type { ImporterAnswer, ImportOrder } from '../contract/importer.ts'
import { endWithParent } from '../end-with-parent.ts'
import { ServiceError } from '../errors.ts'
import { importImages } from './import.ts'
import type { ImportLimits } from './limits.ts'

export interface ImporterStart {
  readonly order: ImportOrder
  readonly limits: ImportLimits
}

endWithParent()
process.once('message', async ({ order, limits }: ImporterStart) => {
  const answer = await run(order, limits)
  process.send?.(answer, () => process.disconnect?.())
})

async function run(order: ImportOrder, limits: ImportLimits): Promise<ImporterAnswer> {
  try {
    const { report, error } = await importImages(order, limits)
    if (error === null) return { type: 'done', report }
    return { type: 'failed', code: error.code, detail: error.detail, report }
  } catch (error) {
    // Anything else is a bug or a lost machine: die of it, and be run again.
    if (!(error instanceof ServiceError)) throw error
    return { type: 'failed', code: error.code, detail: error.detail, report: null }
  }
}
