/**
 * Entry of the explainer process: explains one image to one model, and exits. Forked by `explainers.ts`.
 *
 * The image is decoded here, and for Grad-CAM TensorFlow.js is loaded here, neither of which the api does.
 * It gives way to serving, and ends with its parent.
 */
import { readFile } from 'node:fs/promises'
import { setPriority } from 'node:os'
import type { ExplainAnswer, ExplainOrder, HeatMap } from '../contract/explanation.ts'
import { endWithParent } from '../end-with-parent.ts'
import { ServiceError } from '../errors.ts'
import { preprocess } from '../image/preprocess.ts'
import { readNetwork } from '../network/document.ts'
import { readSafetensors } from '../network/safetensors.ts'
import { openSession } from '../runtime/session.ts'
import { loadEngine } from '../tensor/engine.ts'
import { gradCam } from './grad-cam.ts'
import { normalized, overlay, rounded } from './heat-map.ts'
import { occlusion } from './occlusion.ts'

/** nice(1): behind whatever answers predictions. */
const niceness = 10

interface Found {
  readonly label: number
  readonly score: number
  readonly raw: HeatMap
}

setPriority(niceness)
endWithParent()
process.on('SIGINT', () => {})
process.once('message', async (order: ExplainOrder) => {
  const answer = await explain(order)
  process.send?.(answer, () => process.disconnect?.())
})

async function explain(order: ExplainOrder): Promise<ExplainAnswer> {
  try {
    const pixels = await preprocess(order.image, order.input)
    const { label, score, raw } = await methods[order.method](order, pixels)
    const matrix = normalized(raw)
    const { size, channels } = order.input
    const png = await overlay({ pixels, size, channels }, matrix)
    return {
      type: 'done',
      label,
      score,
      shape: [raw.length, raw[0]?.length ?? 0],
      matrix: rounded(matrix),
      raw: rounded(raw),
      overlay: png.toString('base64')
    }
  } catch (error) {
    // Anything else is a defect: die of it, and have it told.
    if (!(error instanceof ServiceError)) throw error
    return { type: 'failed', code: error.code, detail: error.detail }
  }
}

type Method = (order: ExplainOrder, pixels: Uint8Array) => Promise<Found>

const methods: Readonly<Record<ExplainOrder['method'], Method>> = {
  occlusion: byOcclusion,
  'grad-cam': byGradients
}

async function byOcclusion(
  { paths, input, classes, label }: ExplainOrder,
  pixels: Uint8Array
): Promise<Found> {
  const session = await openSession(paths[0] ?? '', { threads: 1 })
  const ask = async (images: Uint8Array, n: number): Promise<Float32Array> => {
    const scores = (await session.run(images, n)).get('probabilities')
    if (scores?.length === n * classes) return scores
    throw new ServiceError('MODEL_INVALID', {
      detail: `Cannot explain: the output probabilities must be [${n}, ${classes}], received ${scores?.length ?? 'no'} values`
    })
  }
  const { size, channels } = input
  const { drops, ...found } = await occlusion({ ask, pixels, size, channels, label })
  return { ...found, raw: drops }
}

async function byGradients({ paths, label }: ExplainOrder, pixels: Uint8Array): Promise<Found> {
  const [graph = '', tensors = ''] = paths
  const network = readNetwork(await readFile(graph, 'utf8'))
  const stored = readSafetensors(await readFile(tensors))
  const weights = new Map([...stored.tensors].map(([name, { data }]) => [name, data]))
  // One image: an engine that is small and always there is quicker than one that is fast.
  const engine = await loadEngine('wasm')
  const { map, ...found } = gradCam({ engine, network, weights, pixels, label })
  return { ...found, raw: map }
}
