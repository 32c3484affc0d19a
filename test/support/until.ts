/** Waits for what happens elsewhere. */
import { setTimeout as sleep } from 'node:timers/promises'

/** A little less than a test may take: one that is over would be waited for by its process for ever. */
const patienceMs = 880_000

/** Looks again and again until `condition` holds. @throws Error when it does not for minutes */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + patienceMs
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`Waited in vain until ${condition}`)
    await sleep(5)
  }
}
