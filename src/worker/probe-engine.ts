/**
 * Finds out which engine this worker's trainers will use, without loading it into the worker itself.
 */
import type { EngineInfo } from '../contract/internal.ts'
import { startTrainer } from './trainer-process.ts'

/** @throws Error with the trainer's own words when no engine can be loaded. */
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
  const how = end.signal ?? `exit code ${end.exitCode}`
  throw new Error(`Cannot load an engine: ${reason || `the trainer ended with ${how}. ${output}`}`)
}
