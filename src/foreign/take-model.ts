/** A model made elsewhere from its bytes to a file of ours that has been tried. */
import { readFile, writeFile } from 'node:fs/promises'
import type { ProbedModel, ProbeOrder } from '../contract/model-import.ts'
import { probeModel } from './probe.ts'
import { type ForeignModel, readForeignModel } from './read-model.ts'
import { weightsOf } from './read-tensor.ts'
import { misfit } from './refusals.ts'
import { type Signature, signatureOf } from './signature.ts'
import { wrapModel } from './wrap.ts'
import { wrappingOf } from './wrapping.ts'

/**
 * Writes the wrapped model to `target` and says what it is.
 *
 * @throws ServiceError MODEL_INVALID, MODEL_UNSUPPORTED, MODEL_LIMIT, REQUEST_INVALID
 */
export async function takeModel(order: ProbeOrder): Promise<ProbedModel> {
  const { source, target, classes, maxBatch, said } = order
  const model = readForeignModel(await readFile(source))
  const signature = signatureOf(model, { ...said, size: said.input.size, classes })
  const { outputs } = said
  refuseSecondSoftmax(model, signature, outputs)
  const wrapping = wrappingOf(signature, order)
  const wrapped = wrapModel(model, signature, wrapping)
  await probeModel(wrapped, { classes, maxBatch, outputs })
  await writeFile(target, wrapped, { flag: 'wx' })
  const { size: inputSize, channels, layout, type } = signature
  const { scale, mean, std } = wrapping
  return {
    inputSize,
    channels,
    parameters: parametersOf(model),
    source: {
      producer: model.producer.slice(0, 200),
      opset: model.opset,
      layout,
      type,
      order: wrapping.order,
      scale: scale && [...scale],
      mean: mean && [...mean],
      std: std && [...std],
      outputs
    }
  }
}

/** A softmax of a softmax sums to one as well, and makes every score nearly the same. */
function refuseSecondSoftmax(
  { nodes }: ForeignModel,
  { output }: Signature,
  outputs: ProbeOrder['said']['outputs']
): void {
  const last = nodes.find((node) => node.outputs.includes(output))
  if (outputs === 'logits' && last?.type === 'Softmax') {
    throw misfit('/outputs', 'must be probabilities: the model ends in a Softmax', outputs)
  }
}

function parametersOf({ initializers, nodes }: ForeignModel): number {
  const constants = nodes.flatMap(({ attributes }) => {
    const value = attributes.get('value')
    return value?.kind === 'tensor' ? [value.value] : []
  })
  return [...initializers, ...constants].reduce((sum, tensor) => sum + weightsOf(tensor), 0)
}
