/**
 * Checkpoint files of one attempt: written aside, flushed, renamed, and announced with their digest.
 *
 * The newest is enough to resume; the one before stays until it is old, for the case that the newest
 * turns out damaged. Which of them a later attempt gets is the catalogue's business.
 */
import { createHash } from 'node:crypto'
import { open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Assignment } from '../contract/job.ts'
import { type PipelineState, readPipelineState, writePipelineState } from './pipeline-state.ts'
import type { TrainerChannel } from './trainer-channel.ts'

const kept = 2

export class Checkpoints {
  readonly #folder: string
  readonly #channel: Pick<TrainerChannel, 'send' | 'log'>
  #names: string[] = []
  #next = 1

  constructor(folder: string, channel: Pick<TrainerChannel, 'send' | 'log'>) {
    this.#folder = folder
    this.#channel = channel
  }

  /** The state to go on from; undefined when the job starts from nothing. */
  async load(checkpoints: Assignment['checkpoints']): Promise<PipelineState | undefined> {
    const numbers = checkpoints.map(({ name }) => Number(/\d+/.exec(name)?.[0] ?? 0))
    this.#next = Math.max(0, ...numbers) + 1
    for (const { name, sha256 } of checkpoints) {
      try {
        const bytes = await readFile(join(this.#folder, name))
        const received = digest(bytes)
        if (received !== sha256) throw new RangeError(`expected ${sha256}, received ${received}`)
        return readPipelineState(bytes)
      } catch (error) {
        this.#channel.log('warn', `checkpoint ${name} cannot be used: ${error}`)
      }
    }
    return undefined
  }

  /** Writes a checkpoint and has it sent. */
  async write(state: PipelineState): Promise<void> {
    const name = `checkpoint-${String(this.#next++).padStart(6, '0')}.safetensors`
    const bytes = writePipelineState(state)
    await writeDurably(join(this.#folder, name), bytes)
    await this.#channel.send({
      type: 'checkpoint',
      name,
      sha256: digest(bytes),
      bytes: bytes.length
    })
    this.#names.push(name)
    for (const old of this.#names.splice(0, this.#names.length - kept)) {
      await rm(join(this.#folder, old), { force: true })
    }
  }
}

async function writeDurably(file: string, bytes: Uint8Array): Promise<void> {
  const partial = `${file}.partial`
  const handle = await open(partial, 'w')
  try {
    await handle.writeFile(bytes)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(partial, file)
}

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
