/**
 * Doors through which JavaScript sets and reads the variables of a recorded graph.
 *
 * A fed tensor shares memory with a JavaScript array, and a variable would keep that memory and update
 * it in place; so what is assigned is a DeepCopy of the feed.
 */
import { type Edge, type GraphDef, typeAttribute } from './graph-def.ts'
import type { GraphVariables } from './graph-variables.ts'

export interface Port {
  readonly shape: readonly number[]
  /** Feed this ... */
  readonly feed: Edge
  /** ... and fetch this to set the variable. */
  readonly written: Edge
  /** Fetch this to read it. */
  readonly value: Edge
}

export const addPorts = (
  graph: GraphDef,
  variables: GraphVariables,
  names: Iterable<string>
): ReadonlyMap<string, Port> => {
  const float32 = typeAttribute('float32')
  const done = graph.constant({ dtype: 'float32', shape: [], data: Float32Array.of(1) })
  const ports = new Map<string, Port>()
  for (const name of names) {
    const handle = variables.handle(name)
    const shape = variables.shape(name)
    const feed = graph.placeholder(`feed_${ports.size}`, 'float32', shape)
    const copy = graph.add('DeepCopy', [feed], { T: float32 })
    const assign = graph.add('AssignVariableOp', [handle, copy], { dtype: float32 })
    const written = graph.add('Identity', [done, `^${assign}`], { T: float32 })
    const value = graph.add('ReadVariableOp', [handle], { dtype: float32 })
    ports.set(name, { shape, feed, written, value })
  }
  return ports
}
