/**
 * One training step as a program: augment, forward, loss, backward, update, average.
 *
 * Variables: `weights/<parameter>`, `slots/<parameter>/<slot>`, `ema/<parameter>`, `teacher/<parameter>`.
 * All that changes from step to step is an input, so that the step can be recorded once.
 */
import type { Tensor } from '@tensorflow/tfjs-core'
import type { AugmentOp, TrainOptions } from '../contract/recipe.ts'
import type { ImageSource } from '../image/source.ts'
import { forward } from '../network/forward.ts'
import type { Network, Weights } from '../network/graph.ts'
import type { Engine } from '../tensor/engine.ts'
import type { InputSpec, Program, StepScope, Tensors, VariableSpec } from '../tensor/program.ts'
import { updateStatistics } from './batch-norm-statistics.ts'
import { updateEma } from './ema.ts'
import { distillationLoss } from './loss/distillation.ts'
import { smoothTargets } from './loss/label-smoothing.ts'
import { createOptimizer, type Optimizer } from './optimizer/optimizer.ts'
import { type Parameter, parametersOf, weightVariables } from './parameters.ts'
import { type PixelTransform, pixelTransform } from './transform-pixels.ts'

/** A trained network whose softened answers the student follows. */
export interface Teacher {
  readonly network: Network
  readonly weights: Weights
  readonly temperature: number
  /** Share of the loss that follows the teacher, 0..1. */
  readonly weight: number
}

export interface TrainStepRequest {
  readonly engine: Pick<Engine, 'tf' | 'kernels'>
  readonly network: Network
  readonly weights: Weights
  readonly source: Pick<ImageSource, 'size' | 'channels'>
  readonly batch: number
  readonly options: TrainOptions
  readonly augment: readonly AugmentOp[]
  readonly teacher?: Teacher | undefined
}

export interface TrainStep {
  /** Outputs: `loss` and `accuracy`, weighted means of the batch. */
  readonly program: Program
  readonly pixels: PixelTransform
  readonly optimizer: Optimizer
}

/** @throws RangeError when images, teacher or weights do not fit the network. */
export const trainStep = (request: TrainStepRequest): TrainStep => {
  const { engine, network, source, batch, options, augment, teacher } = request
  checkTeacher(network, teacher?.network)
  const pixels = pixelTransform(engine, network, source, batch, augment)
  const optimizer = createOptimizer(engine.tf, options.optimizer)
  const parameters = parametersOf(network)
  const program: Program = {
    variables: stepVariables(request, parameters, optimizer),
    inputs: {
      images: { shape: [batch, source.size, source.size, source.channels], dtype: 'uint8' },
      labels: { shape: [batch], dtype: 'int32' },
      rowWeights: { shape: [batch], dtype: 'float32' },
      seed: { shape: [2], dtype: 'int32' },
      learningRate: scalar,
      statisticsMomentum: scalar,
      ...(options.ema && { emaDecay: scalar }),
      ...optimizer.inputs,
      ...pixels.inputs
    },
    step(scope, inputs) {
      const outputs = learn(request, { scope, inputs, pixels, optimizer, parameters })
      if (options.ema) {
        const decay = inputs.emaDecay as Tensor
        for (const { name } of parameters) {
          const names = { variable: `weights/${name}`, average: `ema/${name}` }
          updateEma(engine.tf, scope, { ...names, decay })
        }
      }
      return outputs
    }
  }
  return { program, pixels, optimizer }
}

const scalar: InputSpec = { shape: [], dtype: 'float32' }

interface Parts {
  readonly scope: StepScope
  readonly inputs: Tensors
  readonly pixels: PixelTransform
  readonly optimizer: Optimizer
  readonly parameters: readonly Parameter[]
}

/** Gradients and updates of one batch. */
const learn = (request: TrainStepRequest, parts: Parts): Tensors => {
  const { tf } = request.engine
  const { scope, inputs, optimizer, parameters } = parts
  const images = parts.pixels.apply(inputs.images as Tensor, inputs)
  const trainable = parameters.filter((parameter) => parameter.trainable)
  const fixed = parameters.filter((parameter) => !parameter.trainable)
  const statistics = fixed.map(({ name }) => [name, scope.read(`weights/${name}`)] as const)
  const values = trainable.map(({ name }) => scope.read(`weights/${name}`))
  let accuracy: Tensor | undefined
  const { value: loss, grads } = tf.valueAndGrads((...given: Tensor[]) => {
    const named = trainable.map(({ name }, i) => [name, given[i] as Tensor] as const)
    const result = lossOf(request, parts, new Map([...statistics, ...named]), images)
    // What is made in here is disposed with the forward pass, unless it is kept.
    accuracy = tf.keep(result.accuracy)
    return result.loss as never
  })(values)
  for (const [i, { name, decay }] of trainable.entries()) {
    const update = {
      variable: `weights/${name}`,
      slots: optimizer.slots.map((slot) => `slots/${name}/${slot}`),
      value: values[i] as Tensor,
      gradient: grads[i] as Tensor,
      decay,
      learningRate: inputs.learningRate as Tensor
    }
    optimizer.apply(scope, update, inputs)
  }
  return { loss, accuracy: released(accuracy as Tensor) }
}

const lossOf = (
  { engine, network, options, teacher }: TrainStepRequest,
  { scope, inputs }: Parts,
  params: ReadonlyMap<string, Tensor>,
  images: Tensor
) => {
  const { tf, kernels } = engine
  const labels = inputs.labels as Tensor
  const rowWeights = inputs.rowWeights as Tensor
  const momentum = inputs.statisticsMomentum as Tensor
  const { logits } = forward(network, kernels, params, images, {
    training: true,
    seed: inputs.seed,
    onStatistics: (name, batchValue) =>
      updateStatistics(tf, scope, { variable: `weights/${name}`, batchValue, momentum })
  })
  const targets = smoothTargets(tf, labels, logits.shape[1] as number, options.labelSmoothing)
  const hard = kernels.softmaxCrossEntropy(logits, targets)
  const rows = teacher ? mixWithTeacher(engine, teacher, scope, images, { logits, hard }) : hard
  const right = tf.cast(tf.equal(tf.cast(tf.argMax(logits, 1), 'int32'), labels), 'float32')
  return { loss: mean(tf, rows, rowWeights), accuracy: mean(tf, right, rowWeights) }
}

/** The teacher sees the same augmented images; its weights are variables, or they would be frozen. */
const mixWithTeacher = (
  engine: TrainStepRequest['engine'],
  { network, temperature, weight }: Teacher,
  scope: StepScope,
  images: Tensor,
  { logits, hard }: { readonly logits: Tensor; readonly hard: Tensor }
): Tensor => {
  const { tf, kernels } = engine
  const params = new Map(
    parametersOf(network).map(({ name }) => [name, scope.read(`teacher/${name}`)])
  )
  const taught = forward(network, kernels, params, images, { training: false, seed: undefined })
  const soft = distillationLoss(engine, logits, taught.logits, temperature)
  return tf.add(tf.mul(hard, 1 - weight), tf.mul(soft, weight))
}

const mean = (tf: Engine['tf'], rows: Tensor, weights: Tensor): Tensor =>
  tf.sum(tf.mul(rows, weights))

/** A kept tensor handed back to the scope around it. */
const released = (kept: Tensor): Tensor => {
  const copy = kept.clone()
  kept.dispose()
  return copy
}

const stepVariables = (
  { network, weights, options, teacher }: TrainStepRequest,
  parameters: readonly Parameter[],
  optimizer: Optimizer
): ReadonlyMap<string, VariableSpec> => {
  const slots = parameters
    .filter(({ trainable }) => trainable)
    .flatMap(({ name, shape }) =>
      optimizer.slots.map((slot) => [`slots/${name}/${slot}`, zeros(shape)] as const)
    )
  return new Map([
    ...weightVariables(network, weights, 'weights/'),
    ...slots,
    ...(options.ema ? weightVariables(network, weights, 'ema/') : []),
    ...(teacher ? weightVariables(teacher.network, teacher.weights, 'teacher/') : [])
  ])
}

const zeros = (shape: readonly number[]): VariableSpec => ({
  shape,
  data: new Float32Array(shape.reduce((product, size) => product * size, 1))
})

const checkTeacher = (network: Network, teacher: Network | undefined): void => {
  if (teacher !== undefined && `${teacher.input.shape}` !== `${network.input.shape}`) {
    const wanted = `its input must be [${network.input.shape}]`
    throw new RangeError(`Cannot use the teacher: ${wanted}, received [${teacher.input.shape}]`)
  }
}
