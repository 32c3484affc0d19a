/**
 * Entry of the process that reads and tries one model made elsewhere, and exits.
 *
 * Started by `run-prober.ts` with a limit of memory; it gets its order by IPC and ends with its parent.
 */
import type { ProbeAnswer, ProbeOrder } from '../contract/model-import.ts'
import { endWithParent } from '../end-with-parent.ts'
import { ServiceError } from '../errors.ts'
import { takeModel } from './take-model.ts'

endWithParent()
// Ctrl-C reaches the whole process group; the parent decides.
process.on('SIGINT', () => {})
process.once('message', async (order: ProbeOrder) => {
  const answer = await run(order)
  process.send?.(answer, () => process.disconnect?.())
})

async function run(order: ProbeOrder): Promise<ProbeAnswer> {
  try {
    return { type: 'taken', model: await takeModel(order) }
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error
    const { code, detail, errors = [] } = error
    return { type: 'refused', code, detail, errors: [...errors] }
  }
}
