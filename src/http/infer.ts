/** One inference of the Open Inference Protocol, from the request's body to the bytes of the answer. */
import type { FastifyRequest } from 'fastify'
import type { ServedVariant } from '../catalog/served-models.ts'
import type { Verdict } from '../infer/messages.ts'
import type { Answer, AskOptions, Priority } from '../infer/request.ts'
import { imagesOf } from '../oip/images.ts'
import { invalid } from '../oip/invalid.ts'
import { outputTensor, type Row, wantedOutput } from '../oip/outputs.ts'
import { type InferRequest, type Parameters, readInferRequest, shown } from '../oip/request.ts'
import { type WrittenResponse, writeInferResponse } from '../oip/response.ts'
import type { Metrics } from '../service/metrics.ts'
import type { PredictionMemory } from '../service/prediction-memory.ts'
import { type AskDeps, askEngines } from './ask-engines.ts'
import type { Holding } from './byte-budget.ts'
import { tensors } from './engine-model.ts'
import { inflated, readAll, refuseLarge, withinTime } from './read-body.ts'

/** Bytes of a body, before and after inflation: 64 images of 20 MiB would be more, 64 of 1 MiB are not. */
export const inferLimit = 80 * 1024 * 1024

interface Inference {
  readonly request: FastifyRequest
  readonly served: ServedVariant
  /** What it was asked for by. */
  readonly name: string
  readonly holding: Holding
  readonly signal: AbortSignal
}

interface InferDeps extends AskDeps {
  readonly metrics: Pick<Metrics, 'imagesAsked'>
  readonly memory: Pick<PredictionMemory, 'remember'>
  readonly arrivalMs?: number
}

/**
 * @throws ServiceError REQUEST_MALFORMED (400) for whatever is wrong with the request or an image of it, and
 *   what reading the body and asking the engines throw
 */
export async function infer(
  { request, served, name, holding, signal }: Inference,
  deps: InferDeps
): Promise<WrittenResponse> {
  const { metrics, memory, arrivalMs = 60_000 } = deps
  const asked = await readRequest(request, { holding, arrivalMs })
  const { inputSize: size, channels } = served.network
  const classifier = { name: tensors.output, labels: served.labels }
  const output = wantedOutput(asked, classifier)
  const caller = request.caller?.id
  const options = { ...askOptions(asked.parameters, signal), caller }
  const remembers = wantsId(asked.parameters)
  const { form, images } = imagesOf(asked.inputs, { name: tensors.input, size, channels })
  const count = (outcome: 'answered' | 'failed' | 'refused'): void =>
    metrics.imagesAsked(served.model, outcome, images.length)
  const questions = images.map((bytes) => ({
    bytes,
    form,
    // Classes are chosen where the probabilities are, so that only they come back.
    top: output === undefined || output.classification === 0 ? null : output.classification,
    digest: remembers && form === 'encoded'
  }))
  const trace = request.span?.context
  const answer = await askEngines({ served, questions, options, trace }, deps).catch(
    (error: unknown) => {
      if (!signal.aborted) count('failed')
      throw error
    }
  )
  const rows = answer.verdicts.map(rowOf)
  count('answered')
  const parameters = {
    ...timing(asked.parameters, answer),
    ...(remembers ? { prediction_id: memory.remember(served, answer.seen, images) } : {})
  }
  return writeInferResponse({
    model: name,
    version: served.version,
    id: asked.id,
    ...(Object.keys(parameters).length === 0 ? {} : { parameters }),
    outputs: output === undefined ? [] : [outputTensor(output, rows, classifier)]
  })
}

async function readRequest(
  request: FastifyRequest,
  { holding, arrivalMs }: { readonly holding: Holding; readonly arrivalMs: number }
): Promise<InferRequest> {
  refuseLarge(request, inferLimit)
  const limits = { limit: inferLimit, holding }
  const sent = await withinTime(arrivalMs, readAll(request.raw, limits))
  const body = await inflated(request, sent, limits)
  const jsonLength = request.headers['inference-header-content-length']
  return readInferRequest(body, jsonLength === undefined ? undefined : String(jsonLength))
}

/** An image that cannot be decoded spoils its request only: the protocol has no answer for one of several. */
function rowOf(verdict: Verdict, i: number): Row {
  if ('code' in verdict) throw invalid(`image ${i}: ${verdict.detail}`)
  return 'all' in verdict ? verdict.all : verdict
}

/** Extension `schedule_policy`: priority 1 goes first, 0 is the default; timeout in microseconds. */
function askOptions(parameters: Parameters, signal: AbortSignal): AskOptions {
  for (const name of ['sequence_id', 'sequence_start', 'sequence_end']) {
    const value = parameters[name]
    if (value) throw invalid(`sequences are not served, received ${name} ${shown(value)}`)
  }
  const { priority = 0, timeout = 0 } = parameters
  if (![0, 1, 2, 3].includes(Number(priority)) || typeof priority !== 'number') {
    throw invalid(`priority must be an integer from 0 to 3, received ${shown(priority)}`)
  }
  if (typeof timeout !== 'number' || !Number.isSafeInteger(timeout) || timeout < 0) {
    throw invalid(`timeout must be an integer of microseconds, received ${shown(timeout)}`)
  }
  return {
    signal,
    ...(priority === 0 ? {} : { priority: priority as Priority }),
    ...(timeout === 0 ? {} : { deadlineMs: timeout / 1000 })
  }
}

/** With the parameter `timing`, the answer says what its images went through. */
function timing({ timing: wanted }: Parameters, { batch, queueMs }: Answer): Parameters {
  if (wanted !== true) return {}
  return { batch_size: batch, queue_microseconds: Math.round(queueMs * 1000) }
}

/** With the parameter `prediction_id`, the prediction is remembered, so that feedback can name it. */
function wantsId({ prediction_id: wanted = false }: Parameters): boolean {
  if (typeof wanted === 'boolean') return wanted
  throw invalid(`prediction_id must be true or false, received ${shown(wanted)}`)
}
