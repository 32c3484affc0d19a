/**
 * Chooses and loads what computes: the only file that names a backend.
 *
 * TensorFlow reads its thread counts from the environment when it is first loaded and offers no other
 * door, so this file sets them: unset, a process that is pinned to fewer cores would silently compute
 * with fewer threads and, summing in another order, end with other weights.
 */
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import util from 'node:util'
import type * as TF from '@tensorflow/tfjs-core'
import { ServiceError } from '../errors.ts'
import { compiledStep } from './compiled-step.ts'
import { eagerStep } from './eager-step.ts'
import { registerMissingKernels } from './kernels/register.ts'
import type { Kernels } from './kernels.ts'
import type { NativeBackend } from './native-backend.ts'
import { portableKernels } from './portable.ts'
import type { Program, Step } from './program.ts'
import { tensorflowKernels } from './tensorflow.ts'

export type EngineName = 'tensorflow' | 'wasm'

export interface Engine {
  readonly name: EngineName
  readonly device: 'cpu' | 'gpu'
  /** Of the library that computes. */
  readonly version: string
  /** Why this engine, in words for people. */
  readonly reason: string
  /** Threads that one op may use. */
  readonly threads: number
  readonly tf: typeof TF
  readonly kernels: Kernels
  /** Makes a step ready to run: recorded into a graph, or run op by op, as the engine can. */
  compile(program: Program): Step
  /** Tensors that are alive, ours and native ones; constant from epoch to epoch if nothing leaks. */
  tensorCount(): number
}

export interface EngineOptions {
  /** 0 or absent: one per core. */
  readonly threads?: number
}

const require = createRequire(import.meta.url)

/**
 * @throws ServiceError ENGINE_UNAVAILABLE when the engine that was asked for, or with `auto` any,
 *   cannot be loaded.
 */
export const loadEngine = async (
  choice: 'auto' | EngineName,
  { threads = 0 }: EngineOptions = {}
): Promise<Engine> => {
  const count = threads > 0 ? threads : availableParallelism()
  if (choice === 'wasm') {
    return loadWasm('WHITTLE_ENGINE asks for it')
  }
  try {
    return loadTensorflow(count, choice)
  } catch (cause) {
    const missing = explain(cause)
    if (choice === 'tensorflow') {
      const detail = `Cannot load the tensorflow engine: ${missing}`
      throw new ServiceError('ENGINE_UNAVAILABLE', { detail, cause })
    }
    return loadWasm(`slow fallback, since tensorflow cannot be loaded: ${missing}`)
  }
}

const loadTensorflow = (threads: number, choice: 'auto' | EngineName): Engine => {
  setTensorflowEnvironment(threads)
  restoreUtil()
  const tf = require('@tensorflow/tfjs-node-gpu') as typeof TF
  tf.enableProdMode()
  const backend = tf.backend() as unknown as NativeBackend
  const device = backend.binding.isUsingGpuDevice() ? 'gpu' : 'cpu'
  const where = device === 'gpu' ? 'its GPU library found a device' : 'on the CPU'
  return {
    name: 'tensorflow',
    device,
    version: backend.binding.TF_Version,
    reason: choice === 'auto' ? `fastest that loads, ${where}` : `asked for, ${where}`,
    threads,
    tf,
    kernels: tensorflowKernels(tf, backend),
    compile: (program) => compiledStep({ tf, backend }, program),
    tensorCount: () => tf.memory().numTensors + backend.binding.getNumOfTensors()
  }
}

const loadWasm = async (reason: string): Promise<Engine> => {
  try {
    const tf = require('@tensorflow/tfjs') as typeof TF
    const { version_wasm } = require('@tensorflow/tfjs-backend-wasm') as { version_wasm: string }
    registerMissingKernels(tf)
    await tf.setBackend('wasm')
    await tf.ready()
    return {
      name: 'wasm',
      device: 'cpu',
      version: version_wasm,
      reason,
      threads: 1,
      tf,
      kernels: portableKernels(tf),
      compile: (program) => eagerStep(tf, program),
      tensorCount: () => tf.memory().numTensors
    }
  } catch (cause) {
    const detail = `Cannot load the wasm engine: ${explain(cause)}`
    throw new ServiceError('ENGINE_UNAVAILABLE', { detail, cause })
  }
}

const setTensorflowEnvironment = (threads: number): void => {
  process.env.TF_NUM_INTRAOP_THREADS = String(threads)
  process.env.TF_NUM_INTEROP_THREADS = String(threads)
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '2'
  process.env.TF_FORCE_GPU_ALLOW_GROWTH ??= 'true'
}

/** tfjs-node 4.22 calls two functions of `util` that Node 23 removed. */
const restoreUtil = (): void => {
  const old = util as { isNullOrUndefined?: unknown; isArray?: unknown }
  old.isNullOrUndefined ??= (value: unknown) => value === null || value === undefined
  old.isArray ??= Array.isArray
}

const explain = (cause: unknown): string => {
  const message = cause instanceof Error ? cause.message : String(cause)
  return message.split('\n')[0] ?? message
}
