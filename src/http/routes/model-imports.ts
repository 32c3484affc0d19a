/** `POST /v1/models/{name}/versions`: publishes a model made elsewhere. */
import multipart from '@fastify/multipart'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { ModelPath, ModelVersion } from '../../contract/model.ts'
import { ModelImportFields } from '../../contract/model-import.ts'
import type { ModelImports } from '../../service/model-imports.ts'
import type { Quotas } from '../../service/quotas.ts'
import { gone } from '../gone.ts'
import { modelFormRules, readModelForm } from '../model-form.ts'
import { problemResponses } from '../responses.ts'
import { type StagingOptions, withStaging } from '../staging.ts'
import { announcedBytes, readUpload } from '../uploads.ts'
import { validatorCompiler } from '../validation.ts'
import { waitPatiently } from '../wait-patiently.ts'

export interface ModelImportRoutesOptions extends StagingOptions {
  readonly modelImports: ModelImports
  readonly quotas: Pick<Quotas, 'assertRoom'>
  /** Of the ONNX file. */
  readonly maxModelBytes: number
}

/** Of what is in the form besides the model. */
const formBytes = 8 * 2 ** 20

/** What the multipart body is made of; the parts are read as they come, so this only documents. */
const form = {
  content: {
    'multipart/form-data': {
      schema: Type.Object({
        file: Type.Unsafe<string>({
          type: 'string',
          format: 'binary',
          description: 'ONNX: one image input, one output [n, classes]'
        }),
        labels: Type.String({
          description:
            'By class index: a JSON array of texts, or a text or file with one in each line'
        }),
        ...ModelImportFields.properties
      })
    }
  }
}

export async function modelImportRoutes(
  instance: FastifyInstance,
  options: ModelImportRoutesOptions
) {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()
  const { modelImports, quotas, maxModelBytes } = options
  await app.register(multipart)

  app.post(
    '/:name/versions',
    {
      bodyLimit: maxModelBytes + formBytes,
      config: { idempotency: 'upload' },
      // The body is not a JSON value that a validator could see.
      validatorCompiler: (part) =>
        part.httpPart === 'body' ? () => true : validatorCompiler(part as never),
      schema: {
        operationId: 'importModelVersion',
        tags: ['models'],
        summary: 'Publish a model made elsewhere, an ONNX file, as the next version',
        params: ModelPath,
        body: form as never,
        response: {
          201: ModelVersion,
          ...problemResponses(400, 409, 413, 415, 422, 429, 503, 507)
        }
      }
    },
    async (request, reply) => {
      const owner = request.caller?.id ?? null
      const model = request.params.name
      const isAnswered = request.idempotency?.reservation.kind === 'answered'
      // Before much is read; but a first answer is given again whatever has changed since.
      if (!isAnswered) await quotas.assertRoom(owner, announcedBytes(request))
      const receive = () =>
        withStaging(request, options, async ({ folder, rules }) => {
          const upload = await readUpload(request, {
            ...rules,
            ...modelFormRules,
            maxBytesPerFile: maxModelBytes
          })
          const files = upload.files.map(({ field, sha256 }) => [field, sha256]).sort()
          const payload = { fields: Object.fromEntries(upload.fields), files }
          if (await request.settleIdempotency(payload, reply)) return reply
          const { file, labels, said } = await readModelForm(upload)
          waitPatiently(request)
          const locationOf = (version: number) => `/v1/models/${model}/versions/${version}`
          const version = await modelImports.take({
            model,
            owner,
            labels,
            said,
            file,
            folder,
            admit: rules.admit,
            signal: gone(reply),
            remember: (trx, body) =>
              request.rememberAnswer(trx, { status: 201, location: locationOf(body.version), body })
          })
          return reply.code(201).header('location', locationOf(version.version)).send(version)
        })
      return isAnswered ? receive() : modelImports.inPlace(receive)
    }
  )
}
