/**
 * The only spelling of queue names, job names and ids in Redis.
 *
 * A BullMQ job is one dispatch of a catalogue row, never the row itself: `<id>-<n>`. Adding the same
 * dispatch twice is a no-op in BullMQ, so the producer may be called again without harm.
 */
import { type Static, Type } from 'typebox'

export const queueNames = { jobs: 'jobs', imports: 'imports' } as const
export type QueueName = (typeof queueNames)[keyof typeof queueNames]

/** Key prefix of everything whittle keeps in Redis, unless a caller states another. */
export const defaultPrefix = 'whittle'

/** What a dispatch carries: nothing but where to look in the catalogue. */
export const Dispatch = Type.Object({
  id: Type.String({ minLength: 1, maxLength: 100 }),
  dispatch: Type.Integer({ minimum: 1 })
})
export type Dispatch = Static<typeof Dispatch>

export const dispatchId = ({ id, dispatch }: Dispatch): string => `${id}-${dispatch}`
