/** Where this trainer computes: all that its bits depend on, besides recipe, data and seed. */
import { createRequire } from 'node:module'
import type { Environment } from '../contract/job.ts'
import { cpuClass } from '../runtime/cpu-class.ts'
import { machine } from '../runtime/machine.ts'
import type { Engine } from '../tensor/engine.ts'

/**
 * The libraries are those with arithmetic in them: the engine, ONNX Runtime (calibration), Node (its
 * Math functions draw the augmentation), and this service.
 */
export function environmentOf({ name, device, version, threads }: Engine): Environment {
  const engine = device === 'gpu' ? `${name} on a GPU` : name
  return describe({ engine, arithmetic: [`${name} ${version}`], threads })
}

/** Where a job computes that runs exported files only, and needs no engine to train with. */
export const runtimeEnvironment = (threads: number): Environment =>
  describe({ engine: 'onnxruntime', arithmetic: [], threads })

function describe({
  engine,
  arithmetic,
  threads
}: {
  readonly engine: string
  readonly arithmetic: readonly string[]
  readonly threads: number
}): Environment {
  const { version: own } = createRequire(import.meta.url)('../../package.json')
  const libraries = [
    ...arithmetic,
    `onnxruntime ${machine().onnxruntime}`,
    `node ${process.versions.node}`,
    `whittle ${own}`
  ]
  return {
    engine,
    version: libraries.join(', '),
    cpu: cpuClass(),
    threads
  }
}
