/**
 * Finds out which engine this worker's trainers will use, without loading it into the worker itself.
 */
import type { EngineInfo } from '../contract/internal.ts'
import { startTrainer } from './trainer-process.ts'

/** Thrown when no engine can be loaded, as the trainer that tried says: another try would not change it. */
export class NoEngineError extends Error {
  override readonly name = 'NoEngineError'
}

/**
 * @throws NoEngineError with the trainer's own words; Error when a signal ended it before it could say
 *   anything, as for want of memory
 */
export async function probeEngine({
  engine,
  threads
}: {
  readonly engine: string
  readonly threads: number
}): Promise<EngineInfo> {
  let found: EngineInfo | undefined
  let reason = ''
  let output = ''
  const trainer = startTrainer({
    engine,
    threads,
    onMessage: (message) => {
      if (message.type === 'engine') found = message.engine
      if (message.type === 'failed') reason = message.detail
    },
    onOutput: (text) => {
      output = (output + text).slice(-2000)
    }
  })
  trainer.send({ type: 'probe' })
  const end = await trainer.ended
  if (found !== undefined) return found
  if (end.signal !== null) {
    const how = `the trainer that tried ended with ${end.signal}`
    throw new Error(`Cannot tell which engine loads: ${how}. ${output}`)
  }
  const words = reason || `the trainer ended with exit code ${end.exitCode}. ${output}`
  throw new NoEngineError(`Cannot load an engine: ${words}`)
}
