/** The parameters of a network as an optimizer sees them. */
import type { Network, Shape, Weights } from '../network/graph.ts'
import { ops } from '../network/ops.ts'
import type { VariableSpec } from '../tensor/program.ts'

export interface Parameter {
  readonly name: string
  readonly shape: Shape
  /** False for running statistics. */
  readonly trainable: boolean
  /** Whether weight decay applies. */
  readonly decay: boolean
}

/**
 * In graph order, each once.
 *
 * @throws RangeError when a node has a parameter that its op does not know.
 */
export const parametersOf = (network: Network): readonly Parameter[] => {
  const parameters = new Map<string, Parameter>()
  for (const { id, op, params } of network.nodes) {
    for (const [role, { name, shape }] of Object.entries(params)) {
      const definition = ops[op].roles[role]
      if (definition === undefined) {
        throw new RangeError(`Cannot train ${id}: the op ${op} has no parameter ${role}`)
      }
      const { trainable, decay } = definition
      parameters.set(name, { name, shape, trainable, decay })
    }
  }
  return [...parameters.values()]
}

/**
 * Variables `<prefix><parameter>` that hold the weights.
 *
 * @throws RangeError when weights are missing.
 */
export const weightVariables = (
  network: Network,
  weights: Weights,
  prefix = ''
): Map<string, VariableSpec> =>
  new Map(
    parametersOf(network).map(({ name, shape }) => {
      const data = weights.get(name)
      if (data === undefined) {
        throw new RangeError(`Cannot run the network: weights of ${name} are missing`)
      }
      return [`${prefix}${name}`, { shape, data }]
    })
  )

/** Those of `values` whose name begins with `prefix`, under the name that is left. */
export const withoutPrefix = (
  values: ReadonlyMap<string, Float32Array>,
  prefix: string
): Map<string, Float32Array> => {
  const chosen = [...values].filter(([name]) => name.startsWith(prefix))
  return new Map(chosen.map(([name, data]) => [name.slice(prefix.length), data]))
}
