/**
 * Variables of a recorded graph, with automatic control dependencies in program order.
 *
 * A session runs nodes as soon as their inputs are there. Without further edges a read may see the
 * value before or after an update that the program wrote earlier, and two updates may change places.
 * So every read waits for the last update of its variable, and every update waits for the last update
 * and for all reads since (what TensorFlow's AutomaticControlDependencies does for tf.function).
 */
import { type Edge, type GraphAttributes, type GraphDef, typeAttribute } from './graph-def.ts'
import type { VariableSpec } from './program.ts'

interface Place {
  readonly handle: Edge
  readonly shape: readonly number[]
  update: Edge | undefined
  /** Reads since that update. */
  reads: Edge[]
}

const float32 = { dtype: typeAttribute('float32') }

export class GraphVariables {
  readonly #graph: GraphDef
  readonly #places = new Map<string, Place>()

  constructor(graph: GraphDef, variables: ReadonlyMap<string, VariableSpec>) {
    this.#graph = graph
    for (const [name, { shape }] of variables) {
      const id = `variable_${this.#places.size}`
      const attributes: GraphAttributes = {
        ...float32,
        shape: { kind: 'shape', value: shape },
        shared_name: { kind: 'text', value: id },
        container: { kind: 'text', value: '' }
      }
      const handle = graph.add('VarHandleOp', [], attributes, id)
      this.#places.set(name, { handle, shape, update: undefined, reads: [] })
    }
  }

  handle(name: string): Edge {
    return this.#place(name).handle
  }

  shape(name: string): readonly number[] {
    return this.#place(name).shape
  }

  /** The value after all updates so far. Reads between two updates share one node. */
  read(name: string): Edge {
    const place = this.#place(name)
    const [known] = place.reads
    if (known !== undefined) {
      return known
    }
    const edge = this.#graph.add('ReadVariableOp', [place.handle, ...after([place])], float32)
    place.reads.push(edge)
    return edge
  }

  /** Adds an op that updates the variables `names`; its inputs must begin with what the op wants. */
  update(
    names: readonly string[],
    op: string,
    inputs: readonly Edge[],
    attributes: GraphAttributes
  ): void {
    const places = names.map((name) => this.#place(name))
    const edge = this.#graph.add(op, [...inputs, ...after(places)], attributes)
    for (const place of places) {
      place.update = edge
      place.reads = []
    }
  }

  /** Control edges to every variable's last update: who waits for them waits for the whole step. */
  updated(): Edge[] {
    const updates = [...this.#places.values()].flatMap(({ update }) => update ?? [])
    return [...new Set(updates)].map(control)
  }

  #place(name: string): Place {
    const place = this.#places.get(name)
    if (place === undefined) {
      throw new RangeError(`Cannot use the variable ${name}: the program does not declare it`)
    }
    return place
  }
}

const control = (edge: Edge): Edge => `^${edge}`

const after = (places: readonly Place[]): Edge[] =>
  [...new Set(places.flatMap(({ update, reads }) => [...(update ? [update] : []), ...reads]))].map(
    control
  )
