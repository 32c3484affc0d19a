/** The Open Inference Protocol (V2) and its extensions: what is answered below `/v2`. */
import { Type } from 'typebox'

/** Names as Triton spells them; each is listed because it works. */
export const extensions = [
  'binary_tensor_data',
  'classification',
  'model_configuration',
  'model_repository',
  'parameters',
  'schedule_policy',
  'statistics'
] as const

export const ServerMetadata = Type.Object(
  { name: Type.String(), version: Type.String(), extensions: Type.Array(Type.String()) },
  { $id: 'ServerMetadata' }
)

const TensorMetadata = Type.Object({
  name: Type.String(),
  datatype: Type.String(),
  shape: Type.Array(Type.Integer(), { description: 'The batch comes first; -1 is any size' })
})

export const ModelMetadata = Type.Object(
  {
    name: Type.String(),
    versions: Type.Array(Type.String()),
    platform: Type.String(),
    inputs: Type.Array(TensorMetadata),
    outputs: Type.Array(TensorMetadata)
  },
  { $id: 'ModelMetadata' }
)

export const ModelReadiness = Type.Object(
  { name: Type.String(), ready: Type.Boolean() },
  { $id: 'ModelReadiness' }
)

const Parameters = Type.Record(
  Type.String(),
  Type.Union([Type.String(), Type.Number(), Type.Boolean()])
)

export const InferRequest = Type.Object(
  {
    id: Type.Optional(Type.String()),
    parameters: Type.Optional(Parameters),
    inputs: Type.Array(
      Type.Object({
        name: Type.String(),
        shape: Type.Array(Type.Integer()),
        datatype: Type.String(),
        parameters: Type.Optional(Parameters),
        data: Type.Optional(
          Type.Unsafe<unknown>({
            type: 'array',
            description: 'Nested or flat, row-major. Encoded images (BYTES) are base64'
          })
        )
      })
    ),
    outputs: Type.Optional(
      Type.Array(Type.Object({ name: Type.String(), parameters: Type.Optional(Parameters) }))
    )
  },
  { $id: 'InferRequest' }
)

export const InferResponse = Type.Object(
  {
    model_name: Type.String(),
    model_version: Type.String(),
    id: Type.Optional(Type.String()),
    parameters: Type.Optional(Parameters),
    outputs: Type.Array(
      Type.Object({
        name: Type.String(),
        shape: Type.Array(Type.Integer()),
        datatype: Type.String(),
        parameters: Type.Optional(Parameters),
        data: Type.Optional(Type.Unsafe<unknown>({ type: 'array' }))
      })
    )
  },
  { $id: 'InferResponse' }
)

export const ModelConfiguration = Type.Object(
  {
    name: Type.String(),
    platform: Type.String(),
    backend: Type.String(),
    max_batch_size: Type.Integer(),
    input: Type.Array(Type.Unsafe<object>({ type: 'object' })),
    output: Type.Array(Type.Unsafe<object>({ type: 'object' })),
    dynamic_batching: Type.Unsafe<object>({ type: 'object' }),
    instance_group: Type.Array(Type.Unsafe<object>({ type: 'object' }))
  },
  { $id: 'ModelConfiguration', description: "The JSON form of Triton's ModelConfig" }
)

export const StatisticsAnswer = Type.Object(
  { model_stats: Type.Array(Type.Unsafe<object>({ type: 'object' })) },
  { $id: 'StatisticsAnswer' }
)

export const RepositoryIndex = Type.Array(
  Type.Object({
    name: Type.String(),
    version: Type.String(),
    state: Type.Enum(['READY', 'UNAVAILABLE']),
    reason: Type.String()
  }),
  { $id: 'RepositoryIndex' }
)

export const ProtocolError = Type.Object(
  {
    error: Type.String(),
    code: Type.Optional(
      Type.String({ description: 'As in problem documents; not of the protocol' })
    )
  },
  { $id: 'ProtocolError' }
)
