/**
 * Batch norm statistics measured anew with fixed weights, after channels were cut.
 *
 * Wu and Johnson, "Rethinking Batch in BatchNorm", 2021. arXiv:2105.07576, section 3 ("PreciseBN"):
 * statistics of many batches are pooled, Var = E[var + mean^2] - E[mean]^2, in place of a running average.
 */
import type { Tensor } from '@tensorflow/tfjs-core'
import type { ImageSource } from '../image/source.ts'
import { forward } from '../network/forward.ts'
import type { Network, Weights } from '../network/graph.ts'
import type { Engine } from '../tensor/engine.ts'
import { randomKey } from '../tensor/random.ts'
import { parametersOf, weightVariables } from './parameters.ts'
import { sampleOf } from './sample.ts'
import { pixelTransform } from './transform-pixels.ts'

export interface EstimateRequest {
  readonly engine: Engine
  readonly network: Network
  readonly weights: Weights
  readonly source: ImageSource
  /** About how many images to measure on. */
  readonly images: number
  readonly seed: number
  /** Called between batches; what it throws ends the estimate. */
  readonly beforeBatch?: () => Promise<void>
}

/**
 * The weights with new running statistics; without batch norm, the same weights.
 *
 * @throws RangeError when the source is empty or does not fit the network.
 */
export const estimateBatchNorm = async (request: EstimateRequest): Promise<Weights> => {
  const { engine, network, weights, source, seed } = request
  const layers = statisticsOf(network)
  if (layers.length === 0) {
    return weights
  }
  const sample = sampleOf(source, request)
  const pixels = pixelTransform(engine, network, source, sample.batch)
  const step = engine.compile({
    variables: weightVariables(network, weights),
    inputs: {
      images: { shape: [sample.batch, source.size, source.size, source.channels], dtype: 'uint8' },
      seed: { shape: [2], dtype: 'int32' },
      ...pixels.inputs
    },
    step(scope, inputs) {
      const measured: Record<string, Tensor> = {}
      const params = new Map(parametersOf(network).map(({ name }) => [name, scope.read(name)]))
      forward(network, engine.kernels, params, pixels.apply(inputs.images as Tensor, inputs), {
        training: true,
        seed: inputs.seed,
        onStatistics: (name, value) => {
          measured[name] = value
        }
      })
      return measured
    }
  })
  try {
    const pools = layers.map((names) => ({ names, pool: new StatisticsPool() }))
    for await (const batch of sample.walk()) {
      await request.beforeBatch?.()
      const drawn = pixels.draw(0, 0, batch.positions)
      const noise = randomKey(seed, 'batch-norm', batch.positions[0] as number)
      const seeds = Int32Array.of(noise.high, noise.low)
      const measured = step.run({ images: batch.pixels, seed: seeds, ...drawn })
      for (const { names, pool } of pools) {
        pool.add(measured[names.mean] as Float32Array, measured[names.variance] as Float32Array)
      }
    }
    return withStatistics(weights, pools)
  } finally {
    step.dispose()
  }
}

interface Names {
  readonly mean: string
  readonly variance: string
}

const statisticsOf = (network: Network): Names[] =>
  network.nodes.flatMap(({ op, params }) =>
    op === 'batchNorm' && params.mean && params.variance
      ? [{ mean: params.mean.name, variance: params.variance.name }]
      : []
  )

/** Sums over batches of equal size, in float64. */
class StatisticsPool {
  #batches = 0
  #means: Float64Array | undefined
  #squares: Float64Array | undefined

  add(mean: Float32Array, variance: Float32Array): void {
    this.#means ??= new Float64Array(mean.length)
    this.#squares ??= new Float64Array(mean.length)
    this.#batches += 1
    for (const [c, value] of mean.entries()) {
      this.#means[c] = (this.#means[c] as number) + value
      const square = (variance[c] as number) + value ** 2
      this.#squares[c] = (this.#squares[c] as number) + square
    }
  }

  get mean(): Float32Array {
    return Float32Array.from(this.#means ?? [], (sum) => sum / this.#batches)
  }

  get variance(): Float32Array {
    const squares = this.#squares ?? new Float64Array()
    return Float32Array.from(this.#means ?? [], (sum, c) =>
      Math.max(0, (squares[c] as number) / this.#batches - (sum / this.#batches) ** 2)
    )
  }
}

const withStatistics = (
  weights: Weights,
  pools: readonly { readonly names: Names; readonly pool: StatisticsPool }[]
): Weights => {
  const measured = pools.flatMap(({ names, pool }): [string, Float32Array][] => [
    [names.mean, pool.mean],
    [names.variance, pool.variance]
  ])
  return new Map([...weights, ...measured])
}
