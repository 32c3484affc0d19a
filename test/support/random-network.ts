/**
 * Small random networks of every kind of coupling that pruning must follow: residual additions,
 * depthwise convolutions, concatenations, additions onto concatenations, flatten and global pooling.
 */
import { type Layers, layers, type Tap } from '../../src/network/architecture/layers.ts'
import type { Network, Weights } from '../../src/network/graph.ts'
import { initialWeights } from '../../src/network/initialize.ts'
import { Random, randomKey } from '../../src/tensor/random.ts'

export interface RandomNetwork {
  readonly network: Network
  readonly weights: Weights
}

export const randomNetwork = (seed: number): RandomNetwork => {
  const random = new Random(randomKey(seed, 'random network'))
  const pick = <T>(choices: readonly T[]): T =>
    choices[Math.floor(random.uniform() * choices.length)] as T
  const build = layers({
    size: 8,
    channels: pick([1, 3]),
    classes: 3,
    scale: 1 / 64,
    zeroPoint: 120
  })
  const conv = (id: string, from: Tap, filters: number) =>
    build.relu(`${id}-relu`, build.conv(id, from, { filters, size: pick([1, 3]), stride: 1 }))

  let x = conv('first', build.images, pick([4, 6, 8]))
  const blocks = 2 + Math.floor(random.uniform() * 3)
  for (let i = 0; i < blocks; i++) x = pick(kinds)(`block${i}`, x, { build, conv, pick })
  x = pick([true, false])
    ? build.add('flat', 'flatten', [x])
    : build.add('flat', 'globalAvgPool', [x])
  if (pick([true, false])) x = build.relu('hidden-relu', build.dense('hidden', x, pick([4, 7])))
  const network = build.classify(x, 3)
  return { network, weights: liveWeights(network, seed) }
}

interface Tools {
  readonly build: Layers
  conv(id: string, from: Tap, filters: number): Tap
  pick<T>(choices: readonly T[]): T
}
type Block = (id: string, x: Tap, tools: Tools) => Tap

const width = (x: Tap): number => x.shape.at(-1) as number

const plain: Block = (id, x, { conv, pick }) => conv(id, x, pick([4, 5, 8]))

const residual: Block = (id, x, { build, conv, pick }) => {
  const inner = conv(`${id}-inner`, x, pick([3, 6]))
  const outer = build.conv(`${id}-outer`, inner, { filters: width(x), size: 3, stride: 1 })
  return build.relu(`${id}-out`, build.add(`${id}-add`, 'add', [outer, x]))
}

const depthwise: Block = (id, x, { build, pick }) => {
  const multiplier = pick([1, 2])
  return build.relu(
    `${id}-relu`,
    build.add(id, 'depthwiseConv2d', [x], {
      attrs: { stride: 1, padding: 'same' },
      shapes: { kernel: [3, 3, width(x), multiplier], bias: [width(x) * multiplier] }
    })
  )
}

const branches: Block = (id, x, { build, conv, pick }) =>
  build.add(`${id}-concat`, 'concat', [conv(`${id}-a`, x, pick([3, 4])), conv(`${id}-b`, x, 5), x])

const addOntoBranches: Block = (id, x, { build, conv }) => {
  const joined = build.add(`${id}-concat`, 'concat', [conv(`${id}-a`, x, 3), conv(`${id}-b`, x, 4)])
  return build.add(`${id}-add`, 'add', [joined, conv(`${id}-c`, x, 7)])
}

const pool: Block = (id, x, { build, pick }) =>
  (x.shape[0] as number) < 4
    ? x
    : build.add(id, pick(['maxPool', 'avgPool']), [x], {
        attrs: { size: 2, stride: 2, padding: 'valid' }
      })

const kinds: readonly Block[] = [plain, residual, depthwise, branches, addOntoBranches, pool]

/** Initial weights with biases, offsets and statistics that are not neutral. */
const liveWeights = (network: Network, seed: number): Weights => {
  const random = new Random(randomKey(seed, 'live weights'))
  const live = (name: string, values: Float32Array): Float32Array => {
    if (/variance$|gamma$/.test(name)) return values.map(() => random.between(0.5, 2))
    if (/bias$|beta$|mean$/.test(name)) return values.map(() => random.between(-0.5, 0.5))
    return values
  }
  return new Map([...initialWeights(network, seed)].map(([name, v]) => [name, live(name, v)]))
}
