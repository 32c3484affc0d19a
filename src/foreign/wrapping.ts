/** What the sender says of a model's input, held against what the model itself says. */
import type { ProbeOrder } from '../contract/model-import.ts'
import { misfit } from './refusals.ts'
import type { Signature } from './signature.ts'
import type { Wrapping } from './wrap.ts'

type Scaling = ProbeOrder['said']['input']['scale']

/** @throws ServiceError REQUEST_INVALID */
export function wrappingOf(
  { type, channels }: Pick<Signature, 'type' | 'channels'>,
  { said, classes }: Pick<ProbeOrder, 'said' | 'classes'>
): Wrapping {
  const { order = 'rgb', scale, mean, std } = said.input
  if (order === 'bgr' && channels === 1) {
    throw misfit('/input/order', 'must be left out: the model takes grey images', order)
  }
  if (type === 'uint8') {
    for (const [name, given] of Object.entries({ scale, mean, std })) {
      if (given === undefined) continue
      throw misfit(`/input/${name}`, 'must be left out: the model takes pixels as they are', given)
    }
  } else if (scale === undefined) {
    throw misfit(
      '/input/scale',
      'is required: what pixels from 0 to 255 are multiplied by, such as 1, or 0.00392156862745098 for a model that takes 0 to 1'
    )
  }
  if ([std].flat().includes(0)) throw misfit('/input/std', 'must not be 0', std)
  return {
    order,
    scale: perChannel('/input/scale', scale, { channels, neutral: 1 }),
    mean: perChannel('/input/mean', mean, { channels, neutral: 0 }),
    std: perChannel('/input/std', std, { channels, neutral: 1 }),
    outputs: said.outputs,
    classes
  }
}

/** Null where nothing would change. */
function perChannel(
  pointer: string,
  given: Scaling,
  { channels, neutral }: { readonly channels: number; readonly neutral: number }
): readonly number[] | null {
  if (given === undefined) return null
  const values = [given].flat()
  if (values.length !== 1 && values.length !== channels) {
    throw misfit(pointer, `must be a number, or ${channels} of them: one for each channel`, given)
  }
  return values.every((value) => value === neutral) ? null : values
}
