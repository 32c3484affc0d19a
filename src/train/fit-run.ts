/**
 * A training run as it stands: the compiled step, its place in the epoch, the best weights so far.
 *
 * `fit.ts` decides what happens next; here is what happens. Holds native memory until disposed.
 */
import type { Weights } from '../network/graph.ts'
import type { Output, Step, VariableSpec } from '../tensor/program.ts'
import { permutation, randomKey } from '../tensor/random.ts'
import { statisticsMomentum } from './batch-norm-statistics.ts'
import { type Batch, type BatchReader, batchReader } from './batches.ts'
import { type Classifier, createClassifier, joined } from './classifier.ts'
import type { Score } from './early-stopping.ts'
import { emaDecay } from './ema.ts'
import type { FitRequest } from './fit.ts'
import { withoutPrefix } from './parameters.ts'
import { type CosineSchedule, cosineRate } from './schedule/cosine.ts'
import { scoreOf } from './score.ts'
import { bestWeights, type FitProgress, type FitState, startOfFit } from './state.ts'
import { type TrainStep, trainStep } from './train-step.ts'

export class FitRun {
  readonly #request: FitRequest
  readonly #reader: BatchReader
  readonly #definition: TrainStep
  readonly #step: Step
  readonly #classifier: Classifier
  readonly #schedule: CosineSchedule
  /** Variables that change: all but the teacher's. */
  readonly #names: readonly string[]
  /** Of the weights that validation and the result use. */
  readonly #prefix: string
  #progress: FitProgress
  #best: Weights | null
  #validated: Weights | null = null
  #order: { readonly epoch: number; readonly positions: Uint32Array } | null = null
  #timed = { images: 0, seconds: 0 }

  /** @throws RangeError when images, weights, teacher or state do not fit the network. */
  constructor(request: FitRequest) {
    const { engine, network, train, validation, options, resume } = request
    this.#request = request
    this.#reader = batchReader(train, options.batchSize)
    this.#definition = trainStep({ ...request, source: train, batch: this.#reader.size })
    const { program } = this.#definition
    this.#names = [...program.variables.keys()].filter((name) => !name.startsWith('teacher/'))
    this.#prefix = options.ema ? 'ema/' : 'weights/'
    this.#progress = resume?.progress ?? startOfFit
    this.#best = resume ? bestWeights(resume) : null
    this.#schedule = {
      peak: options.learningRate,
      warmupUpdates: Math.round(options.warmupEpochs * this.#reader.count),
      totalUpdates: options.epochs * this.#reader.count
    }
    const variables = resumed(program.variables, this.#names, resume)
    this.#step = engine.compile({ ...program, variables })
    this.#classifier = createClassifier({
      engine,
      network,
      weights: request.weights,
      source: validation,
      batchSize: options.batchSize
    })
  }

  get stepsPerEpoch(): number {
    return this.#reader.count
  }

  get progress(): FitProgress {
    return this.#progress
  }

  /** Weights of the best epoch, or null before the first has ended. */
  get best(): Weights | null {
    return this.#best
  }

  /** Of the last step. */
  get learningRate(): number {
    return cosineRate(this.#schedule, Math.max(0, this.#progress.updates - 1))
  }

  /** Measured in this process. */
  get imagesPerSecond(): number {
    const { images, seconds } = this.#timed
    return seconds > 0 ? images / seconds : 0
  }

  /** Means over the epoch's images so far: augmented images, while the weights moved. */
  get training(): Score {
    const { lossSum, correct, images } = this.#progress
    return { loss: lossSum / images, accuracy: correct / images }
  }

  /** Runs the next step of the epoch and returns the batch's means. */
  step(): Score {
    const started = performance.now()
    const { epoch, step, updates, lossSum, correct, images } = this.#progress
    const batch = this.#reader.read(this.#positions(epoch + 1), step)
    const outputs = this.#step.run(this.#feeds(batch))
    const loss = first(outputs.loss)
    const accuracy = first(outputs.accuracy)
    this.#progress = {
      ...this.#progress,
      step: step + 1,
      updates: updates + 1,
      lossSum: lossSum + loss * batch.images,
      correct: correct + Math.round(accuracy * batch.images),
      images: images + batch.images
    }
    const seconds = (performance.now() - started) / 1000
    this.#timed = {
      images: this.#timed.images + batch.images,
      seconds: this.#timed.seconds + seconds
    }
    return { loss, accuracy }
  }

  /**
   * Score of the current weights, averaged ones where the recipe averages, on the validation images; null
   * when it was broken off, which leaves the run as it was.
   */
  async validate(): Promise<Score | null> {
    const names = this.#names.filter((name) => name.startsWith(this.#prefix))
    this.#validated = withoutPrefix(this.#step.read(names), this.#prefix)
    this.#classifier.load(this.#validated)
    const { validation, isEnding } = this.#request
    const rows: Float32Array[] = []
    for await (const row of this.#classifier.answers()) {
      if (isEnding?.()) return null
      rows.push(row)
    }
    return scoreOf(joined(rows), validation.labels)
  }

  /** Ends the epoch whose weights were validated last, and keeps them if they are the best. */
  closeEpoch({ accuracy, loss }: Score, isBest: boolean): void {
    const { updates, best } = this.#progress
    const epoch = this.#progress.epoch + 1
    this.#best = isBest ? this.#validated : this.#best
    const scored = isBest ? { epoch, accuracy, loss } : best
    this.#progress = { ...startOfFit, epoch, updates, best: scored }
    this.#timed = { images: 0, seconds: 0 }
  }

  capture(): FitState {
    const best = [...(this.#best ?? [])].map(([name, data]) => [`best/${name}`, data] as const)
    const tensors = new Map([...this.#step.read(this.#names), ...best])
    return { format: 'whittle-fit-1', progress: this.#progress, tensors }
  }

  dispose(): void {
    this.#step.dispose()
    this.#classifier.dispose()
  }

  #positions(epoch: number): Uint32Array {
    if (this.#order?.epoch !== epoch) {
      const { seed, train } = this.#request
      const positions = permutation(randomKey(seed, 'shuffle', epoch), train.count)
      this.#order = { epoch, positions }
    }
    return this.#order.positions
  }

  #feeds({ pixels, labels, weights, positions }: Batch) {
    const { seed, options } = this.#request
    const { epoch, updates } = this.#progress
    const noise = randomKey(seed, 'step', updates)
    return {
      images: pixels,
      labels,
      rowWeights: weights,
      seed: Int32Array.of(noise.high, noise.low),
      learningRate: cosineRate(this.#schedule, updates),
      statisticsMomentum: statisticsMomentum(updates),
      ...(options.ema && { emaDecay: emaDecay(options.ema.decay, updates) }),
      ...this.#definition.optimizer.feeds(updates),
      ...this.#definition.pixels.draw(seed, epoch + 1, positions)
    }
  }
}

const first = (output: Output | undefined): number => output?.[0] ?? Number.NaN

const resumed = (
  variables: ReadonlyMap<string, VariableSpec>,
  names: readonly string[],
  state: FitState | undefined
): ReadonlyMap<string, VariableSpec> => {
  if (state === undefined) {
    return variables
  }
  const restored = names.map((name) => {
    const { shape, data: initial } = variables.get(name) as VariableSpec
    const data = state.tensors.get(name)
    if (data?.length !== initial.length) {
      const received = data === undefined ? 'none' : data.length
      const wanted = `${name} has ${initial.length} values`
      throw new RangeError(`Cannot resume: ${wanted}, received ${received}`)
    }
    return [name, { shape, data }] as const
  })
  return new Map([...variables, ...restored])
}
