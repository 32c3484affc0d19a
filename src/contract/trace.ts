/** Where a trace goes on: what processes hand to each other (www.w3.org/TR/trace-context). */
import { type Static, Type } from 'typebox'

export const TraceContext = Type.Object(
  {
    traceparent: Type.String({ maxLength: 100 }),
    tracestate: Type.Optional(Type.String({ maxLength: 1000 }))
  },
  { $id: 'TraceContext' }
)
export type TraceContext = Static<typeof TraceContext>
