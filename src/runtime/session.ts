/**
 * A loaded ONNX model. The only file that imports onnxruntime-node.
 *
 * `run` blocks the calling thread for the whole inference, whatever its promise suggests
 * (onnxruntime #19611), so sessions belong into child processes, never into the process that answers
 * HTTP.
 */
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { ServiceError } from '../errors.ts'

export interface SessionOptions {
  /** Threads of one inference. Throughput comes from processes with one thread each. */
  readonly threads: number
}

export interface Session {
  /** [height, width, channels] of one image. */
  readonly inputShape: readonly [height: number, width: number, channels: number]
  readonly outputNames: readonly string[]
  /**
   * Runs `n` images, uint8 [n, h, w, c], and returns every output by name as float32 [n, ...].
   * The images must not change until the promise settles: they are handed over without a copy.
   *
   * @throws RangeError when `images` is shorter than `n` images.
   */
  run(images: Uint8Array, n: number): Promise<Map<string, Float32Array>>
  /** Gives the memory of the model back. Idempotent; the session cannot run afterwards. */
  release(): Promise<void>
}

/**
 * Loads an ONNX model, given as bytes or as the path of a file.
 *
 * @throws ServiceError MODEL_INVALID when it cannot be read, is damaged, or does not take one uint8
 *   tensor [n, h, w, c].
 */
export async function openSession(
  model: Uint8Array | string,
  { threads }: SessionOptions
): Promise<Session> {
  const session = await load(model, threads)
  const [input, inputShape] = await imageInput(session)
  const stride = inputShape[0] * inputShape[1] * inputShape[2]
  let released = false
  return {
    inputShape,
    outputNames: session.outputNames,
    async run(images, n) {
      if (!Number.isInteger(n) || n < 1 || images.length < n * stride) {
        throw new RangeError(
          `Cannot run ${n} images: each has ${stride} bytes, received ${images.length} bytes`
        )
      }
      const feed = new Tensor('uint8', images.subarray(0, n * stride), [n, ...inputShape])
      const results = await session.run({ [input]: feed })
      return new Map(session.outputNames.map((name) => [name, floats(name, results[name])]))
    },
    async release() {
      if (released) return
      released = true
      await session.release()
    }
  }
}

async function load(model: Uint8Array | string, threads: number): Promise<InferenceSession> {
  const options: InferenceSession.SessionOptions = {
    executionProviders: ['cpu'],
    graphOptimizationLevel: 'all', // int8 at `basic` is slower than float
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    logSeverityLevel: 4,
    // Idle threads would otherwise keep their cores busy after every run.
    extra: { session: { intra_op: { allow_spinning: '0' } } }
  }
  try {
    return await (typeof model === 'string'
      ? InferenceSession.create(model, options)
      : InferenceSession.create(model, options))
  } catch (cause) {
    throw invalid(cause instanceof Error ? cause.message : String(cause), cause)
  }
}

async function imageInput(
  session: InferenceSession
): Promise<[name: string, shape: Session['inputShape']]> {
  const [input, ...others] = session.inputMetadata
  if (input?.isTensor && input.type === 'uint8' && others.length === 0) {
    const [, height, width, channels, ...rest] = input.shape
    if (
      typeof height === 'number' &&
      typeof width === 'number' &&
      typeof channels === 'number' &&
      rest.length === 0
    ) {
      return [input.name, [height, width, channels]]
    }
  }
  const received = session.inputMetadata.map((m) =>
    m.isTensor ? `${m.name}: ${m.type} [${m.shape.join(', ')}]` : m.name
  )
  await session.release()
  throw invalid(`one uint8 input [n, h, w, c] is needed, received ${received.join('; ')}`)
}

function floats(name: string, value: unknown): Float32Array {
  if (value instanceof Tensor && value.data instanceof Float32Array) return value.data
  throw invalid(`output ${name} is not a float32 tensor`)
}

function invalid(reason: string, cause?: unknown): ServiceError {
  return new ServiceError('MODEL_INVALID', { detail: `Cannot load the model: ${reason}`, cause })
}
