/**
 * Checkpoint files of one attempt: written durably, and announced with their digest.
 *
 * The newest is enough to resume; the one before stays for the case that the newest turns out damaged.
 * The best weights so far need no file of their own: they are part of every state (train/state.ts). The api
 * keeps the last two as well, until the job ends (catalog/job-files.ts).
 */
import { createHash } from 'node:crypto'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Assignment } from '../contract/job.ts'
import { CheckpointPace } from './checkpoint-pace.ts'
import { writeDurably } from './durable-file.ts'
import type { TrainerChannel } from './trainer-channel.ts'

type Channel = Pick<TrainerChannel, 'send' | 'log' | 'onCheckpointKept'>

const kept = 2

/** How the state of a job becomes the bytes of a checkpoint, and comes back. */
export interface CheckpointForm<State> {
  write(state: State): Uint8Array
  /** @throws RangeError when the bytes are none of its own. */
  read(bytes: Uint8Array): State
}

export class Checkpoints<State> {
  readonly #folder: string
  readonly #channel: Channel
  readonly #form: CheckpointForm<State>
  readonly #pace = new CheckpointPace()
  #names: string[] = []
  readonly #damaged: string[] = []
  #next = 1

  constructor(folder: string, channel: Channel, form: CheckpointForm<State>) {
    this.#form = form
    this.#folder = folder
    this.#channel = channel
    channel.onCheckpointKept(({ name, seconds }) => this.#pace.kept(name, seconds))
  }

  /** The state to go on from; undefined when the job starts from nothing. */
  async load(checkpoints: Assignment['checkpoints']): Promise<State | undefined> {
    const numbers = checkpoints.map(({ name }) => Number(/\d+/.exec(name)?.[0] ?? 0))
    this.#next = Math.max(0, ...numbers) + 1
    for (const { name, sha256 } of checkpoints) {
      try {
        const bytes = await readFile(join(this.#folder, name))
        const received = digest(bytes)
        if (received !== sha256) throw new RangeError(`expected ${sha256}, received ${received}`)
        return this.#form.read(bytes)
      } catch (error) {
        this.#damaged.push(name)
        this.#channel.log('warn', `checkpoint ${name} cannot be used: ${error}`)
      }
    }
    return undefined
  }

  /** Whether a training under way should write one now. What a stage has finished is always written. */
  isDue(place: { readonly epochEnded: boolean }): boolean {
    return this.#pace.isDue(place)
  }

  /** Writes what `collect` returns and has it sent. */
  async write(collect: () => State): Promise<void> {
    const since = performance.now()
    const name = `checkpoint-${String(this.#next++).padStart(6, '0')}.safetensors`
    const bytes = this.#form.write(collect())
    await writeDurably(join(this.#folder, name), bytes)
    const sha256 = digest(bytes)
    const seconds = (performance.now() - since) / 1000
    this.#pace.written(name, seconds)
    const facts = { name, sha256, bytes: bytes.length, seconds, damaged: this.#damaged }
    await this.#channel.send({ type: 'checkpoint', ...facts })
    this.#names.push(name)
    for (const old of this.#names.splice(0, this.#names.length - kept)) {
      await rm(join(this.#folder, old), { force: true })
    }
  }
}

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
