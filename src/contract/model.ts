/** Published models as callers read them: model, version, artifact, alias. */
import { type Static, Type } from 'typebox'
import { Name } from './job.ts'
import { VariantName, VersionReport } from './report.ts'
import { RollbackWish } from './rollback.ts'

export const VersionNumber = Type.Integer({ minimum: 1, maximum: 999_999_999 })

export const AliasTarget = Type.Object(
  {
    version: VersionNumber,
    variant: VariantName,
    share: Type.Number({ description: 'Of the traffic. The shares of an alias sum to 1' })
  },
  { $id: 'AliasTarget' }
)
export type AliasTarget = Static<typeof AliasTarget>

export const Alias = Type.Object(
  { alias: Type.String(), targets: Type.Array(AliasTarget) },
  { $id: 'Alias' }
)
export type Alias = Static<typeof Alias>

/** What an alias is set to: either one version, or targets that share the traffic. */
export const AliasChange = Type.Object(
  {
    version: Type.Optional(VersionNumber),
    variant: Type.Optional(VariantName),
    targets: Type.Optional(
      Type.Array(
        Type.Object(
          {
            version: VersionNumber,
            variant: Type.Optional(VariantName),
            share: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 1 }))
          },
          { additionalProperties: false }
        ),
        { minItems: 1, maxItems: 8 }
      )
    ),
    rollback: Type.Optional(RollbackWish)
  },
  { $id: 'AliasChange', additionalProperties: false }
)
export type AliasChange = Static<typeof AliasChange>

export const Model = Type.Object(
  {
    name: Type.String(),
    createdAt: Type.String(),
    aliases: Type.Array(Alias),
    versions: Type.Array(
      Type.Object({
        version: Type.Integer(),
        createdAt: Type.String(),
        job: Type.Union([Type.String(), Type.Null()]),
        recommended: VariantName,
        accuracy: Type.Union([Type.Number(), Type.Null()], {
          description:
            'Of the recommended variant on the test split; null, as job is, of a model made elsewhere'
        })
      })
    )
  },
  { $id: 'Model' }
)
export type Model = Static<typeof Model>

export const Artifact = Type.Object(
  {
    file: Type.String(),
    bytes: Type.Integer(),
    sha256: Type.String(),
    mediaType: Type.String()
  },
  { $id: 'Artifact' }
)
export type Artifact = Static<typeof Artifact>

const DatasetReference = Type.Object({
  id: Type.String(),
  name: Type.String(),
  version: Type.Integer()
})
export type DatasetReference = Static<typeof DatasetReference>

export const ModelVersion = Type.Object(
  {
    model: Type.String(),
    version: Type.Integer(),
    createdAt: Type.String(),
    job: Type.Union([Type.String(), Type.Null()], {
      description: 'That made it; null, as dataset is, of a model made elsewhere'
    }),
    dataset: Type.Union([DatasetReference, Type.Null()]),
    ...VersionReport.properties,
    artifacts: Type.Array(Artifact)
  },
  { $id: 'ModelVersion' }
)
export type ModelVersion = Static<typeof ModelVersion>

export const ModelPath = Type.Object({ name: Name })
export const VersionPath = Type.Object({ name: Name, version: VersionNumber })
export const ArtifactPath = Type.Object({
  name: Name,
  version: VersionNumber,
  file: Type.String({ maxLength: 200 })
})
export const AliasPath = Type.Object({ name: Name, alias: Name })
