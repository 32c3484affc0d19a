/**
 * Runs a wrapped model on a few images before anybody relies on it: one at a time, two together, and as
 * many as will ever be asked of it at once.
 *
 * Whether a batch that the file fixes to one is free in truth is found out here, and nowhere else: a
 * number in a reshape deep inside can hold it.
 */
import { ServiceError } from '../errors.ts'
import { openSession, type Session } from '../runtime/session.ts'
import { assertClasses, damaged, excessive, misfit, unsupported } from './refusals.ts'

export interface ProbeOptions {
  readonly classes: number
  readonly maxBatch: number
  readonly outputs: 'logits' | 'probabilities'
}

/** How far a row may be from summing to one, and an image's scores from those it has in other company. */
const tolerance = 1e-3

/** @throws ServiceError MODEL_INVALID, MODEL_UNSUPPORTED, MODEL_LIMIT, REQUEST_INVALID */
export async function probeModel(model: Uint8Array, options: ProbeOptions): Promise<void> {
  const session = await open(model)
  const { classes, maxBatch } = options
  const [height, width, channels] = session.inputShape
  const pixels = height * width * channels
  const images = noise(pixels * Math.max(2, maxBatch))
  const alone = await Promise.all([0, 1].map((i) => run(session, images.subarray(i * pixels), 1)))
  for (const scores of alone) {
    assertClasses(scores.length, classes)
    checkRow(scores, options)
  }
  for (const n of new Set([2, maxBatch])) {
    if (n > 1) checkTogether(await run(session, images, n), { n, alone, classes })
  }
  await session.release()
}

async function open(model: Uint8Array): Promise<Session> {
  try {
    return await openSession(model, { threads: 1 })
  } catch (error) {
    throw asRefusal(error, 'to be loaded', damaged)
  }
}

async function run(session: Session, images: Uint8Array, n: number): Promise<Float32Array> {
  try {
    return (await session.run(images, n)).get('probabilities') ?? new Float32Array()
  } catch (error) {
    const refuse = (reason: string) =>
      n === 1 ? damaged(`it fails on an image: ${reason}`) : batchFixed(n, reason)
    throw asRefusal(error, `for a batch of ${n}`, refuse)
  }
}

const batchFixed = (n: number, received: string): ServiceError =>
  unsupported(
    `its batch must be free: it answers one image, but not ${n} together; export it with a dynamic first dimension, received ${received}`
  )

/** ONNX Runtime tells of memory that it was not given in several ways. */
const outOfMemory = /bad_alloc|failed to allocate|out of memory|would require more than/i

function asRefusal(
  error: unknown,
  purpose: string,
  refuse: (reason: string) => ServiceError
): ServiceError {
  const text = error instanceof ServiceError ? error.detail : String((error as Error).message)
  const reason = text.replaceAll(/\s+/g, ' ').slice(0, 600)
  return outOfMemory.test(reason)
    ? excessive(`it takes more memory than it may ${purpose}, received ${reason}`)
    : refuse(reason)
}

/** The scores of one image: finite, none below zero, together one. */
function checkRow(scores: Float32Array, { outputs }: Pick<ProbeOptions, 'outputs'>): void {
  const wrong = scores.find((score) => !Number.isFinite(score))
  if (wrong !== undefined) throw unsupported(`its output must be finite, received ${wrong}`)
  const sum = scores.reduce((total, score) => total + score, 0)
  const least = scores.reduce((a, b) => Math.min(a, b), 0)
  if (least >= -tolerance && Math.abs(sum - 1) <= tolerance) return
  throw misfit(
    '/outputs',
    `must be logits, unless each row of the output sums to 1 and none is negative; a row sums to ${sum}, its least is ${least}`,
    outputs
  )
}

interface Company {
  readonly n: number
  readonly alone: readonly Float32Array[]
  readonly classes: number
}

/** An answer must not depend on who else asks at the same time. */
function checkTogether(scores: Float32Array, { n, alone, classes }: Company): void {
  if (scores.length !== n * classes) {
    throw batchFixed(n, `${scores.length} scores for ${n} images of ${classes} classes`)
  }
  for (const [i, own] of alone.entries()) {
    const row = scores.subarray(i * classes, (i + 1) * classes)
    const apart = row.reduce((most, score, k) => Math.max(most, Math.abs(score - (own[k] ?? 0))), 0)
    if (apart <= tolerance) continue
    throw unsupported(
      `an image must be answered alike alone and among others, received scores that are ${apart} apart in a batch of ${n}`
    )
  }
}

/** Any pixels will do, but not all equal: a linear congruential sequence (Numerical Recipes). */
function noise(length: number): Uint8Array {
  const pixels = new Uint8Array(length)
  let state = 1
  for (let i = 0; i < length; i += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    pixels[i] = state >>> 24
  }
  return pixels
}
