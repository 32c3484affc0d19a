/**
 * Runs every op's channel rule over a network and reads off what must be removed together.
 *
 * Fang et al., "DepGraph: Towards Any Structural Pruning", 2023. arXiv:2301.12900. A *unit* is a set of
 * united channels, all of which go or stay; a *group* is all units that come from the same nodes in the
 * same way, so it has one width: the channels of a plain convolution, of a whole residual stage, or of
 * the part of an addition that one input of a concatenation reaches.
 */
import type { ChannelIds, ChannelTracer } from './channels.ts'
import type { Network } from './graph.ts'
import { ops } from './ops.ts'
import { inferShapes, inputShapes } from './shapes.ts'

/** A parameter axis whose index i belongs to the unit units[i]. */
export interface UnitCut {
  /** The first node that has the parameter, and its role there. */
  readonly node: string
  readonly role: string
  /** Name of the parameter: nodes that share it share the cut. */
  readonly parameter: string
  readonly axis: number
  readonly units: Int32Array
}

export interface ChannelGroup {
  /** The nodes that produce these channels, in network order. */
  readonly nodes: readonly string[]
  /** Ids of its units, ascending. The group's width is their number. */
  readonly units: Int32Array
}

export interface ChannelTrace {
  /** What may be pruned. Units outside every group are fixed: image channels and classes. */
  readonly groups: readonly ChannelGroup[]
  readonly cuts: readonly UnitCut[]
}

/** @throws RangeError when the network does not fit together. */
export const traceChannels = (network: Network): ChannelTrace => {
  const shapes = inferShapes(network)
  const tracer = new UnionFindTracer(network)
  const [, , imageChannels] = network.input.shape
  const images = tracer.fresh(network.input.id, imageChannels)
  tracer.fix(images)
  const tensors = new Map<string, ChannelIds>([[network.input.id, images]])
  for (const node of network.nodes) {
    // inferShapes has checked that every input is known.
    const inputs = node.inputs.map((id) => tensors.get(id) as ChannelIds)
    tensors.set(node.id, ops[node.op].channels(tracer, inputs, node, inputShapes(node, shapes)))
  }
  return tracer.result()
}

/** Collects the declarations of one walk. Ids are indices into `#parents`. */
class UnionFindTracer implements ChannelTracer {
  readonly #parents: number[] = []
  /** Which call of `fresh` made each id. */
  readonly #origins: number[] = []
  readonly #nodes: string[] = []
  readonly #fixed: ChannelIds[] = []
  readonly #cuts = new Map<string, UnitCut>()
  readonly #parameters: ReadonlyMap<string, string>

  constructor(network: Network) {
    this.#parameters = new Map(
      network.nodes.flatMap(({ id, params }) =>
        Object.entries(params).map(([role, { name }]) => [`${id} ${role}`, name] as const)
      )
    )
  }

  fresh(node: string, count: number): ChannelIds {
    const origin = this.#nodes.push(node) - 1
    const first = this.#parents.length
    for (let i = 0; i < count; i++) {
      this.#parents.push(first + i)
      this.#origins.push(origin)
    }
    return Int32Array.from({ length: count }, (_, i) => first + i)
  }

  cut(node: string, role: string, axis: number, ids: ChannelIds): void {
    const parameter = this.#parameters.get(`${node} ${role}`)
    if (parameter === undefined) {
      throw new RangeError(`Cannot trace ${node}: it has no parameter ${role}`)
    }
    const key = `${axis} ${parameter}`
    const known = this.#cuts.get(key)
    if (known) this.tie(known.units, ids)
    else this.#cuts.set(key, { node, role, parameter, axis, units: ids })
  }

  tie(a: ChannelIds, b: ChannelIds): void {
    if (a.length !== b.length) {
      throw new RangeError(`Cannot tie channels: lengths differ, received ${a.length}, ${b.length}`)
    }
    for (let i = 0; i < a.length; i++) {
      const [x, y] = [this.#find(a[i] as number), this.#find(b[i] as number)]
      // The smaller id leads, so that units are numbered in network order.
      this.#parents[Math.max(x, y)] = Math.min(x, y)
    }
  }

  fix(ids: ChannelIds): void {
    this.#fixed.push(ids)
  }

  result(): ChannelTrace {
    const cuts = [...this.#cuts.values()].map((cut) => ({
      ...cut,
      units: cut.units.map((id) => this.#find(id))
    }))
    return { groups: this.#groups(), cuts }
  }

  #groups(): readonly ChannelGroup[] {
    const fixed = new Set(this.#fixed.flatMap((ids) => [...ids].map((id) => this.#find(id))))
    const members = new Map<number, number[]>()
    for (const [id, origin] of this.#origins.entries()) {
      const unit = this.#find(id)
      const origins = members.get(unit)
      if (origins) origins.push(origin)
      else members.set(unit, [origin])
    }
    const byOrigins = new Map<string, { origins: readonly number[]; units: number[] }>()
    for (const [unit, origins] of members) {
      if (fixed.has(unit)) continue
      const key = origins.join()
      const group = byOrigins.get(key)
      if (group) group.units.push(unit)
      else byOrigins.set(key, { origins, units: [unit] })
    }
    return [...byOrigins.values()].map(({ origins, units }) => ({
      nodes: [...new Set(origins)].map((origin) => this.#nodes[origin] as string),
      units: Int32Array.from(units)
    }))
  }

  #find(id: number): number {
    let root = id
    while (this.#parents[root] !== root) {
      const parent = this.#parents[root]
      if (parent === undefined) throw new RangeError(`Cannot trace channels: unknown id ${id}`)
      this.#parents[root] = this.#parents[parent] as number
      root = parent
    }
    return root
  }
}
