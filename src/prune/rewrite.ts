/**
 * Writes a pruned network: the same graph with smaller parameters. Channels are removed, never masked.
 *
 * Channel counts stand only in parameter shapes, so a new set of shapes is a new network.
 */
import type { Network, Shape, Weights } from '../network/graph.ts'
import type { ChannelTrace, UnitCut } from '../network/trace-channels.ts'

/** The network with its cut axes shortened; `lengthOf` says how long the axis of a cut becomes. */
export const reshapeNetwork = (
  network: Network,
  trace: ChannelTrace,
  lengthOf: (cut: UnitCut, index: number) => number
): Network => {
  const lengths = new Map<string, Map<number, number>>()
  for (const [index, cut] of trace.cuts.entries()) {
    const axes = lengths.get(cut.parameter) ?? new Map<number, number>()
    lengths.set(cut.parameter, axes.set(cut.axis, lengthOf(cut, index)))
  }
  const reshape = (name: string, shape: Shape): Shape =>
    shape.map((side, axis) => lengths.get(name)?.get(axis) ?? side)
  const nodes = network.nodes.map((node) => {
    const params = Object.entries(node.params).map(([role, { name, shape }]) => {
      return [role, { name, shape: reshape(name, shape) }] as const
    })
    return { ...node, params: Object.fromEntries(params) }
  })
  return { ...network, nodes }
}

/** Network and weights without the units in `removed`. */
export const removeUnits = (
  network: Network,
  weights: Weights,
  { trace, removed }: { readonly trace: ChannelTrace; readonly removed: ReadonlySet<number> }
): { readonly network: Network; readonly weights: Weights } => {
  const shapes = new Map<string, Shape>()
  for (const { params } of network.nodes) {
    for (const { name, shape } of Object.values(params)) shapes.set(name, shape)
  }
  const pruned = new Map(weights)
  const kept = trace.cuts.map(({ units }) => indicesOf(units, (unit) => !removed.has(unit)))
  for (const [index, { parameter, axis }] of trace.cuts.entries()) {
    const shape = shapes.get(parameter) as Shape
    const values = pruned.get(parameter)
    if (!values) throw new TypeError(`Cannot prune ${parameter}: it has no weights`)
    const indices = kept[index] as Int32Array
    pruned.set(parameter, gather(values, shape, axis, indices))
    shapes.set(parameter, shape.with(axis, indices.length))
  }
  const lengthOf = (_cut: UnitCut, index: number) => (kept[index] as Int32Array).length
  return { network: reshapeNetwork(network, trace, lengthOf), weights: pruned }
}

const indicesOf = (units: Int32Array, isKept: (unit: number) => boolean): Int32Array =>
  Int32Array.from(units.keys()).filter((i) => isKept(units[i] as number))

/** Row-major values of `shape`, restricted to `indices` along `axis`. */
const gather = (
  values: Float32Array,
  shape: Shape,
  axis: number,
  indices: Int32Array
): Float32Array => {
  const length = shape[axis] as number
  if (indices.length === length) return values
  const inner = shape.slice(axis + 1).reduce((product, side) => product * side, 1)
  const outer = values.length / (length * inner)
  const out = new Float32Array(outer * indices.length * inner)
  let at = 0
  for (let block = 0; block < outer; block++) {
    for (const index of indices) {
      const from = (block * length + index) * inner
      out.set(values.subarray(from, from + inner), at)
      at += inner
    }
  }
  return out
}
