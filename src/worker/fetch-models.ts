/** Fetches the ONNX files that an evaluation judges into the attempt's scratch folder. */
import { createHash } from 'node:crypto'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { EvaluateAssignment } from '../contract/job.ts'
import { ServiceError } from '../errors.ts'
import { ApiRefusal } from './api-call.ts'
import type { AttemptClient } from './api-client.ts'

/** Where a model file lies within the scratch folder. */
export const modelPath = (scratch: string, file: string): string => join(scratch, 'models', file)

/** @throws ServiceError MODEL_INVALID when the api does not have the bytes that were published */
export async function fetchModels(
  client: Pick<AttemptClient, 'getModel'>,
  { evaluation }: EvaluateAssignment,
  scratch: string
): Promise<void> {
  await mkdir(join(scratch, 'models'), { recursive: true })
  for (const { file, sha256 } of evaluation.variants) {
    const path = modelPath(scratch, file)
    await client.getModel(file, path).catch((error) => {
      const isDamaged = error instanceof ApiRefusal && error.code === 'MODEL_INVALID'
      throw isDamaged ? new ServiceError('MODEL_INVALID', { detail: error.message }) : error
    })
    const received = createHash('sha256')
      .update(await readFile(path))
      .digest('hex')
    if (received !== sha256) throw damaged(file, { sha256, received })
  }
}

function damaged(
  file: string,
  { sha256, received }: { readonly sha256: string; readonly received: string }
): ServiceError {
  return new ServiceError('MODEL_INVALID', {
    detail: `Cannot evaluate ${file}: its digest must be ${sha256}, received ${received}`
  })
}
