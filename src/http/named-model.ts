/** Which model a request of the Open Inference Protocol means: `MODEL` or `MODEL@VARIANT`, with or without a version. */
import type { FastifyRequest } from 'fastify'
import type { ServedModels, ServedVariant } from '../catalog/served-models.ts'
import { type VariantName, variantNames } from '../contract/report.ts'
import { ServiceError } from '../errors.ts'

export interface NamedModel {
  readonly served: ServedVariant
  /** As it was asked for. */
  readonly name: string
  readonly version: number | undefined
  readonly variant: VariantName | undefined
}

/** `digits` is resolved as everywhere, `digits@int8` is one variant; a version is whittle's. */
export async function namedModel(
  models: ServedModels,
  request: FastifyRequest
): Promise<NamedModel> {
  const { name, version: wanted } = request.params as { name: string; version?: string }
  const [model = '', variant, ...rest] = name.split('@')
  if (rest.length > 0 || (variant !== undefined && !isVariant(variant))) {
    throw new ServiceError('VARIANT_NOT_FOUND', {
      detail: `Cannot find the model: a name is MODEL or MODEL@VARIANT with one of ${variantNames.join(', ')}, received ${name.slice(0, 100)}`
    })
  }
  if (wanted !== undefined && !/^[1-9]\d{0,8}$/.test(wanted)) {
    throw new ServiceError('VERSION_NOT_FOUND', {
      detail: `Cannot find the version: ${model.slice(0, 100)} has none of this number, received ${wanted.slice(0, 40)}`
    })
  }
  const { sticky } = request.query as { readonly sticky?: string }
  const version = wanted === undefined ? undefined : Number(wanted)
  const chosen = variant === undefined ? {} : { variant: variant as VariantName }
  const served = await models.resolve(model, {
    ...chosen,
    sticky,
    ...(version === undefined ? {} : { version })
  })
  return { served, name, version, variant: chosen.variant }
}

const isVariant = (name: string): boolean => (variantNames as readonly string[]).includes(name)
