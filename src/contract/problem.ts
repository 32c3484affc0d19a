/** The one form of every error answer: RFC 9457, with whittle's code and pointers into the request. */
import { type Static, Type } from 'typebox'

export const Problem = Type.Object(
  {
    type: Type.String({ description: 'Where the code is explained' }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String(),
    instance: Type.Optional(Type.String({ description: 'The address that was asked' })),
    code: Type.String({ description: 'Stable; branch on this' }),
    requestId: Type.Optional(Type.String()),
    errors: Type.Optional(
      Type.Array(
        Type.Object({
          pointer: Type.String({ description: 'RFC 6901, into the part of the request at fault' }),
          detail: Type.String(),
          received: Type.Optional(Type.Unknown({ description: 'Shortened when large' }))
        })
      )
    )
  },
  { $id: 'Problem' }
)
export type Problem = Static<typeof Problem>
