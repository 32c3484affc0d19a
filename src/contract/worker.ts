/** Workers as operators see them. */
import { type Static, Type } from 'typebox'
import { EngineInfo } from './internal.ts'

export const Worker = Type.Object(
  {
    id: Type.String({ description: 'Host and process' }),
    engine: EngineInfo,
    slots: Type.Integer({ minimum: 1, description: 'Jobs that it runs at a time' }),
    busy: Type.Integer({ minimum: 0, description: 'Jobs that it is running' }),
    order: Type.Enum(['work', 'drain'], {
      description: 'What it has been told; it hears of it with its next sign of life'
    }),
    draining: Type.Boolean({ description: 'Whether it takes nothing new, as it says itself' }),
    drained: Type.Boolean({ description: 'Draining and idle: it can be ended' }),
    startedAt: Type.String(),
    seenAt: Type.String({ description: 'Its last sign of life; after 20 s of silence it is gone' }),
    jobs: Type.Array(Type.String(), { description: 'Jobs that it holds' })
  },
  { $id: 'Worker' }
)
export type Worker = Static<typeof Worker>
