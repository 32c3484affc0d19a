/**
 * The trainer: one process that carries one job from its data to its report, then ends.
 *
 * It knows a scratch folder and an IPC channel. When the channel closes, its supervisor is gone and so is
 * its reason to live; what it has checkpointed is not lost.
 */
import type { EngineInfo } from '../contract/internal.ts'
import type { Assignment } from '../contract/job.ts'
import type { ToTrainer, TrainerPaths } from '../contract/trainer.ts'
import { ServiceError } from '../errors.ts'
import { type Engine, loadEngine } from '../tensor/engine.ts'
import { Checkpoints } from './checkpoints.ts'
import { Interrupted, type JobContext } from './job-context.ts'
import { runPipeline } from './pipeline.ts'
import { Progress } from './progress.ts'
import { TrainerChannel } from './trainer-channel.ts'

const channel = new TrainerChannel()

process.on('disconnect', () => process.exit(0))
// Ctrl-C reaches the whole process group; the supervisor decides what it means for this job.
process.on('SIGINT', () => {})
process.on('message', (message: ToTrainer) => {
  if (message.type === 'probe') void end(probe)
  else if (message.type === 'start') void end(() => carryOut(message.assignment, message.paths))
  else channel.receive(message)
})

async function probe(): Promise<void> {
  await channel.send({ type: 'engine', engine: describe(await load()) })
}

async function carryOut(assignment: Assignment, paths: TrainerPaths): Promise<void> {
  channel.limit(assignment.secondsLeft)
  const engine = await load()
  await channel.send({ type: 'engine', engine: describe(engine) })
  const context: JobContext = {
    assignment,
    paths,
    engine,
    channel,
    checkpoints: new Checkpoints(paths.scratch, channel),
    progress: new Progress(channel)
  }
  await channel.send({ type: 'done', ...(await runPipeline(context)) })
}

/** Whatever happens is said before the process ends; only what cannot be said ends it otherwise. */
async function end(work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (error instanceof Interrupted) {
      await channel.send({ type: 'ended', reason: error.reason })
    } else if (error instanceof ServiceError) {
      await channel.send({ type: 'failed', code: error.code, detail: error.detail })
    } else {
      process.stderr.write(`${error instanceof Error ? error.stack : error}\n`)
      process.exit(1)
    }
  }
  process.exit(0)
}

const load = (): Promise<Engine> => {
  const choice = process.env.WHITTLE_ENGINE
  const threads = Number(process.env.WHITTLE_THREADS)
  return loadEngine(choice === 'tensorflow' || choice === 'wasm' ? choice : 'auto', { threads })
}

const describe = ({ name, version, reason, threads }: Engine): EngineInfo => ({
  name,
  version,
  reason,
  threads
})
