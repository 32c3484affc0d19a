/** Which input of a model takes the images, in which layout, and which output says the classes. */
import { foreignLimits } from './limits.ts'
import type { ForeignModel, ForeignValue } from './read-model.ts'
import { FLOAT32, UINT8 } from './read-tensor.ts'
import { assertClasses, misfit, shown, unsupported } from './refusals.ts'

export interface Signature {
  readonly input: string
  readonly type: 'float32' | 'uint8'
  readonly layout: 'nchw' | 'nhwc'
  /** Side in pixels. */
  readonly size: number
  readonly channels: 1 | 3
  readonly output: string
}

interface Said {
  /** Of the input, where the graph leaves it open. */
  readonly size?: number | undefined
  /** Name of the output, where there are several. */
  readonly output?: string | undefined
  readonly classes: number
}

/** @throws ServiceError MODEL_UNSUPPORTED; REQUEST_INVALID where the request says something else */
export function signatureOf(model: ForeignModel, said: Said): Signature {
  const [input, ...others] = model.inputs
  if (input === undefined || others.length > 0) {
    throw unsupported(`it must have one input, received ${names(model.inputs)}`)
  }
  if (input.type !== FLOAT32 && input.type !== UINT8) {
    throw unsupported(
      `its input must be float32 or uint8, received element type ${input.type} of ${shown(input.name)}`
    )
  }
  return {
    input: input.name,
    type: input.type === UINT8 ? 'uint8' : 'float32',
    ...imageOf(input, said.size),
    output: outputOf(model, said)
  }
}

function imageOf(
  { name, dims }: ForeignValue,
  given: number | undefined
): Pick<Signature, 'layout' | 'size' | 'channels'> {
  const shape = `[${dims?.map((dim) => dim ?? '?').join(', ') ?? 'any'}]`
  const [batch, ...rest] = dims ?? []
  if (dims?.length !== 4 || (batch !== null && batch !== 1)) {
    throw unsupported(
      `its input must be [n, channels, side, side] or [n, side, side, channels], n being free or 1, received ${shown(name)} ${shape}`
    )
  }
  const found =
    inLayout('nchw', rest[0], [rest[1], rest[2]]) ?? inLayout('nhwc', rest[2], [rest[0], rest[1]])
  if (found === undefined) {
    const { least, most } = foreignLimits.side
    throw unsupported(
      `its input must have 1 or 3 channels and be a square of ${least} to ${most} pixels, received ${shown(name)} ${shape}`
    )
  }
  const { side, ...image } = found
  if (side === null && given === undefined) {
    throw misfit('/input/size', `is required: the model takes any, its input is ${shape}`)
  }
  if (side !== null && given !== undefined && side !== given) {
    throw misfit('/input/size', `must be ${side}, as in the model, or left out`, given)
  }
  return { ...image, size: side ?? (given as number) }
}

type Dim = number | null | undefined

function inLayout(
  layout: Signature['layout'],
  channels: Dim,
  [height = null, width = null]: readonly [Dim, Dim]
) {
  const { least, most } = foreignLimits.side
  const isSide = (dim: number | null) => dim === null || (dim >= least && dim <= most)
  if (channels !== 1 && channels !== 3) return undefined
  if (!isSide(height) || !isSide(width)) return undefined
  if (height !== null && width !== null && height !== width) return undefined
  return { layout, channels: channels as 1 | 3, side: height ?? width }
}

function outputOf(model: ForeignModel, { output: name, classes }: Said): string {
  if (name === undefined && model.outputs.length > 1) {
    throw misfit('/output', `is required: the model has several, ${names(model.outputs)}`)
  }
  const output =
    name === undefined ? model.outputs[0] : model.outputs.find((one) => one.name === name)
  if (output === undefined) {
    if (name === undefined) throw unsupported('it has no output')
    throw misfit('/output', `must be an output of the model: ${names(model.outputs)}`, name)
  }
  const { type, dims } = output
  if (type !== FLOAT32 || (dims !== undefined && dims.length !== 2)) {
    throw unsupported(
      `its output must be float32 [n, classes], received element type ${type} [${dims?.map((dim) => dim ?? '?').join(', ') ?? 'any'}] of ${shown(output.name)}`
    )
  }
  assertClasses(dims?.[1] ?? classes, classes)
  return output.name
}

const names = (values: readonly ForeignValue[]): string =>
  values
    .slice(0, 10)
    .map(({ name }) => shown(name))
    .join(', ') || 'none'
