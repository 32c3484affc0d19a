/** API keys: what a caller may do, and how much of it. */
import { createHash } from 'node:crypto'
import { type Static, Type } from 'typebox'

export const keyScopes = ['predict', 'train', 'admin'] as const
export type KeyScope = (typeof keyScopes)[number]

const limit = (description: string) =>
  Type.Optional(Type.Union([Type.Integer({ minimum: 0 }), Type.Null()], { description }))

/** What is left out or null is not limited; 0 allows nothing. */
export const KeyLimits = Type.Object(
  {
    requestsPerMinute: limit('Requests, whatever they ask for'),
    bytesStored: limit('Images of datasets and files of models, in bytes'),
    jobsQueued: limit('Jobs that wait or run at a time'),
    trainingSecondsPerDay: limit('Running time of jobs, per UTC day')
  },
  { $id: 'KeyLimits', additionalProperties: false }
)
export type KeyLimits = Readonly<Static<typeof KeyLimits>>

/** Who sends a request. */
export interface Caller {
  /** `key_...` of a key made over REST, `env_...` of one in the settings. Not secret. */
  readonly id: string
  readonly scope: KeyScope
  readonly limits: KeyLimits
}

/** The only form in which a key is kept: of 256 random bits a salt or a slow hash would hide no more. */
export const keyDigest = (key: string): Buffer => createHash('sha256').update(key).digest()

const name = Type.String({
  minLength: 1,
  maxLength: 100,
  description: 'For people; need not be unique'
})
const expiresAt = Type.Union(
  [
    Type.String({
      pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(\\.\\d{1,9})?(Z|[+-]\\d\\d:\\d\\d)$',
      description: 'RFC 3339, in the future'
    }),
    Type.Null()
  ],
  { description: 'From then on the key is refused; null: never' }
)

export const KeySpec = Type.Object(
  {
    name,
    scope: Type.Enum(keyScopes, {
      description: '`predict` asks models, `train` also makes them, `admin` may do everything'
    }),
    limits: Type.Optional(KeyLimits),
    expiresAt: Type.Optional(expiresAt)
  },
  { $id: 'KeySpec', additionalProperties: false }
)
export type KeySpec = Static<typeof KeySpec>

export const KeyChange = Type.Object(
  {
    name: Type.Optional(name),
    limits: Type.Optional(
      Type.Unsafe<KeyLimits>({ ...KeyLimits, description: 'Replaces all limits of the key' })
    ),
    expiresAt: Type.Optional(expiresAt)
  },
  { $id: 'KeyChange', additionalProperties: false }
)
export type KeyChange = Static<typeof KeyChange>

const timeOrNull = Type.Union([Type.String(), Type.Null()])

const keyMembers = {
  id: Type.String(),
  name: Type.String(),
  scope: Type.Enum(keyScopes),
  limits: KeyLimits,
  createdAt: Type.String(),
  expiresAt: timeOrNull,
  revokedAt: timeOrNull,
  usage: Type.Object({
    day: Type.String({ description: 'The UTC day that `trainingSeconds` is of' }),
    trainingSeconds: Type.Number(),
    bytesStored: Type.Integer(),
    jobsQueued: Type.Integer()
  })
}

/** A key as admins see it: never the key itself, nor its digest. */
export const Key = Type.Object(keyMembers, { $id: 'Key' })
export type Key = Static<typeof Key>

export const NewKey = Type.Object(
  { ...keyMembers, key: Type.String({ description: 'Shown this once, and kept nowhere' }) },
  { $id: 'NewKey' }
)
export type NewKey = Static<typeof NewKey>
