/**
 * The two files that are a trained model: `graph.json` and `weights.safetensors`.
 *
 * Reading a graph checks everything (schema, then graph), so what comes back can be trained on, pruned or
 * exported without another look. Members that the schema does not know are refused.
 */
import { Type } from 'typebox'
import Value from 'typebox/value'
import type { Network, Weights } from './graph.ts'
import { opNames } from './op.ts'
import { writeSafetensors } from './safetensors.ts'
import { validateNetwork, validateWeights } from './validate.ts'

const closed = { additionalProperties: false }
const Id = Type.String({ minLength: 1, maxLength: 200 })
const Shape = Type.Array(Type.Integer({ minimum: 1 }), { maxItems: 4 })

const NetworkDocument = Type.Object(
  {
    format: Type.Literal('whittle-network-1'),
    input: Type.Object(
      { id: Type.Literal('images'), shape: Shape, scale: Type.Number(), zeroPoint: Type.Integer() },
      closed
    ),
    nodes: Type.Array(
      Type.Object(
        {
          id: Id,
          op: Type.Enum(opNames),
          inputs: Type.Array(Id, { minItems: 1, maxItems: 1000 }),
          attrs: Type.Record(
            Type.String(),
            Type.Union([Type.Number(), Type.String(), Type.Boolean(), Type.Array(Type.Number())])
          ),
          params: Type.Record(Type.String(), Type.Object({ name: Id, shape: Shape }, closed))
        },
        closed
      ),
      { minItems: 1, maxItems: 10_000 }
    ),
    output: Id
  },
  closed
)

/** `graph.json`. */
export const writeNetwork = (network: Network): string => `${JSON.stringify(network, null, 1)}\n`

/** A network from the text of `graph.json`. @throws RangeError saying where it is at fault. */
export const readNetwork = (text: string): Network => {
  const document = parse(text)
  if (!Value.Check(NetworkDocument, document)) {
    const [error] = Value.Errors(NetworkDocument, document)
    throw new RangeError(
      `Cannot read network: ${error?.message ?? 'it does not fit its schema'} at '${error?.instancePath ?? ''}'`
    )
  }
  const network = document as unknown as Network
  validateNetwork(network)
  return network
}

/** `weights.safetensors` of a network. @throws RangeError when weights and network differ. */
export const writeWeights = (
  network: Network,
  weights: Weights,
  metadata: Readonly<Record<string, string>> = {}
): Uint8Array => {
  validateWeights(network, weights)
  const refs = network.nodes.flatMap((node) => Object.values(node.params))
  const tensors = new Map(
    refs.map(({ name, shape }) => [name, { shape, data: weights.get(name) as Float32Array }])
  )
  return writeSafetensors({ tensors, metadata })
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new RangeError(`Cannot read network: it must be JSON, received ${reason}`, { cause })
  }
}
