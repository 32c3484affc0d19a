/**
 * Which channels must be removed together: union-find over single channels.
 *
 * Fang et al., "DepGraph: Towards Any Structural Pruning", CVPR 2023. arXiv:2301.12900. Where the paper
 * groups layers, every channel of every tensor has an id here; tying two channels unites their ids. A
 * tensor's ids run along its last axis (for a flattened tensor: position * channels + channel, so each
 * id occurs h * w times). Removing a set of united ids removes the same indices from every declared cut.
 */
export type ChannelIds = Int32Array

export interface ChannelTracer {
  /** `count` new, independent channels produced by `node`. */
  fresh(node: string, count: number): ChannelIds
  /** Declares that `axis` of the parameter `role` of `node` is indexed by `ids`. */
  cut(node: string, role: string, axis: number, ids: ChannelIds): void
  /** Unites a[i] with b[i] for every i. @throws RangeError on different lengths. */
  tie(a: ChannelIds, b: ChannelIds): void
  /** These channels may not be removed (image input, classes). */
  fix(ids: ChannelIds): void
}
