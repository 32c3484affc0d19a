/** What an engine is told of a variant that the catalogue has chosen. */
import type { Blobs } from '../blob/blobs.ts'
import type { ServedVariant } from '../catalog/served-models.ts'
import type { InputShape } from '../image/preprocess.ts'
import type { EngineModel } from '../infer/messages.ts'

/** Names of the one input and the one output of every model that is served. */
export const tensors = { input: 'images', output: 'probabilities' } as const

export function engineModel(served: ServedVariant, blobs: Blobs): EngineModel {
  const { model, version, variant, sha256 } = served
  const { inputSize: size, channels, resize } = served.network
  return {
    // A model that was deleted and made again has the same name and number, but not the same file.
    key: [model, version, variant, sha256].join('/'),
    serves: { model, version, variant },
    path: blobs.path(sha256),
    input: { size, channels, resize } as InputShape
  }
}
