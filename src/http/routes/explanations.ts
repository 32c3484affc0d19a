/** `POST /v1/models/{name}/explanations`: an encoded image in, a heat map of what speaks for a label out. */
import multipart from '@fastify/multipart'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import type { Blobs } from '../../blob/blobs.ts'
import { newId } from '../../catalog/id.ts'
import { findArtifact } from '../../catalog/models.ts'
import type { Catalog } from '../../catalog/open.ts'
import type { ServedModels, ServedVariant } from '../../catalog/served-models.ts'
import {
  Explanation,
  type ExplanationMethod,
  ExplanationQuery
} from '../../contract/explanation.ts'
import { ModelPath } from '../../contract/model.ts'
import { predictionLimits } from '../../contract/prediction.ts'
import { type Fault, ServiceError } from '../../errors.ts'
import type { Explainers } from '../../explain/explainers.ts'
import type { ModelSwitch } from '../../service/model-switch.ts'
import { ByteBudget } from '../byte-budget.ts'
import { engineModel } from '../engine-model.ts'
import { gone } from '../gone.ts'
import { formOf, readImages } from '../prediction-images.ts'
import { problemResponses } from '../responses.ts'
import { validatorCompiler } from '../validation.ts'
import { predictionBody } from './predictions.ts'

export interface ExplanationRoutesOptions {
  readonly db: Catalog
  readonly blobs: Blobs
  readonly served: ServedModels
  readonly models: ModelSwitch
  readonly explainers: Explainers
  /** A request body must arrive within. @default 60 000 */
  readonly arrivalMs?: number
}

/** Of bodies in memory at a time. */
const budgetBytes = 8 * predictionLimits.bytesPerImage
const mostNamed = 20

export async function explanationRoutes(
  instance: FastifyInstance,
  options: ExplanationRoutesOptions
): Promise<void> {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()
  const { served, models, explainers, arrivalMs = 60_000 } = options
  const budget = new ByteBudget(budgetBytes)
  // As for predictions: `readImages` knows the limits, no parser may touch a body before.
  app.removeAllContentTypeParsers()
  await app.register(multipart, { throwFileSizeLimit: false })
  app.addContentTypeParser('*', (_request, _payload, done) => done(null))
  app.addHook('onClose', () => explainers.close())

  app.post(
    '/:name/explanations',
    {
      validatorCompiler: (route) =>
        route.httpPart === 'body' ? () => true : validatorCompiler(route),
      schema: {
        operationId: 'explain',
        tags: ['predictions'],
        summary:
          'A heat map of what in one image speaks for a label; `Accept: image/png` for a picture',
        params: ModelPath,
        querystring: ExplanationQuery,
        body: predictionBody,
        response: {
          200: {
            description: 'The map, or with `Accept: image/png` the overlay alone',
            content: {
              'application/json': { schema: Explanation },
              'image/png': { schema: Type.Unsafe<Buffer>({ type: 'string', format: 'binary' }) }
            }
          },
          ...problemResponses(400, 404, 408, 413, 415, 422, 429, 503, 504)
        }
      }
    },
    async (request, reply) => {
      const form = formOf(request)
      const { label, method, ...choice } = request.query
      const chosen = await served.resolve(request.params.name, choice)
      models.requireOn(chosen.model)
      const paths = await pathsOf(options, chosen, method)
      const wanted = label === undefined ? null : indexOf(chosen, label)
      const holding = budget.open()
      try {
        const images = await readImages(request, { form, holding, arrivalMs })
        const image = onlyOne(images)
        const { input } = engineModel(chosen, options.blobs)
        const classes = chosen.labels.length
        const order = { method, image, input, classes, label: wanted, paths }
        const { type: _, ...found } = await explainers.explain(order, gone(reply))
        reply.header('vary', 'accept')
        if (wantsPicture(request.headers.accept)) {
          return reply.type('image/png').send(Buffer.from(found.overlay, 'base64'))
        }
        const { model, version, variant } = chosen
        const named = { label: chosen.labels[found.label] ?? String(found.label) }
        return { id: newId('exp'), model, version, variant, method, ...found, ...named }
      } finally {
        holding.release()
      }
    }
  )
}

/** Whoever names PNG first; a browser's wildcard is not enough. */
const wantsPicture = (accept = ''): boolean =>
  (accept.split(',', 1)[0]?.trim().toLowerCase() ?? '').startsWith('image/')

/** Files that a method reads: of Grad-CAM, those of the network in float, before it became ONNX. */
async function pathsOf(
  { db, blobs }: ExplanationRoutesOptions,
  { model, version, variant, sha256 }: ServedVariant,
  method: ExplanationMethod
): Promise<string[]> {
  if (method === 'occlusion') return [blobs.path(sha256)]
  const prefix = { baseline: '', pruned: 'pruned.' }[variant as string]
  const names = prefix === undefined ? [] : [`${prefix}graph.json`, `${prefix}weights.safetensors`]
  const paths: string[] = []
  for (const file of names) {
    const artifact = await findArtifact(db, { name: model, version, file })
    if (artifact !== undefined) paths.push(blobs.path(artifact.sha256))
  }
  if (paths.length === 2) return paths
  throw invalid({
    pointer: '/method',
    detail: `must be occlusion for variant ${variant} of version ${version}: grad-cam needs the graph and weights of a trained baseline or pruned variant`,
    received: method
  })
}

function indexOf({ labels, version }: ServedVariant, label: string): number {
  const index = labels.indexOf(label)
  if (index !== -1) return index
  const named = labels.slice(0, mostNamed).join(', ')
  const more = labels.length > mostNamed ? ` and ${labels.length - mostNamed} more` : ''
  const detail = `must be a label of version ${version}: ${named}${more}`
  throw invalid({ pointer: '/label', detail, received: label.slice(0, 100) })
}

function onlyOne(images: readonly (Uint8Array | ServiceError)[]): Uint8Array {
  const [image, ...others] = images
  if (image instanceof ServiceError) throw image
  if (image !== undefined && others.length === 0) return image
  throw invalid({ pointer: '/image', detail: 'must be one image', received: images.length })
}

function invalid(fault: Fault): ServiceError {
  const detail = 'Cannot explain the image: one fault found'
  return new ServiceError('REQUEST_INVALID', { detail, errors: [fault] })
}
