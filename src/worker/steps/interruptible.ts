/** A session that looks for orders before every run: what runs through thousands of images can be ended. */
import type { Session } from '../../runtime/session.ts'
import type { JobContext } from '../job-context.ts'
import { yieldToOrders } from '../orders.ts'

/** `run` throws Interrupted when the trainer has been told to end. */
export function interruptible(session: Session, context: Pick<JobContext, 'channel'>): Session {
  return {
    ...session,
    async run(images, n) {
      await yieldToOrders(context)
      return session.run(images, n)
    }
  }
}
