/**
 * The trainer: one process that carries one job from its data to its report, then ends.
 *
 * It knows a scratch folder and an IPC channel. When the channel closes, its supervisor is gone and so is
 * its reason to live; what it has checkpointed is not lost.
 */
import { availableParallelism } from 'node:os'
import type { EngineInfo } from '../contract/internal.ts'
import type {
  Assignment,
  Environment,
  EvaluateAssignment,
  TrainAssignment
} from '../contract/job.ts'
import type { ToTrainer, TrainerPaths } from '../contract/trainer.ts'
import { DamagedDataset } from '../dataset/damaged-dataset.ts'
import { endWithParent } from '../end-with-parent.ts'
import { asDiskError, ServiceError } from '../errors.ts'
import { type Engine, loadEngine } from '../tensor/engine.ts'
import { pipelineForm } from './checkpoint-file.ts'
import { Checkpoints } from './checkpoints.ts'
import { Decisions } from './decisions.ts'
import { environmentOf, runtimeEnvironment } from './environment.ts'
import { type EvaluationContext, evaluationForm, runEvaluation } from './evaluation.ts'
import type { JobContext } from './job-context.ts'
import { Interrupted } from './orders.ts'
import { runPipeline } from './pipeline.ts'
import { evaluationShares, Progress } from './progress.ts'
import { TrainerChannel } from './trainer-channel.ts'

const channel = new TrainerChannel(
  (message) =>
    new Promise((resolve, reject) => {
      process.send?.(message, (error: Error | null) => (error ? reject(error) : resolve()))
    })
)

endWithParent()
// Ctrl-C reaches the whole process group; the supervisor decides what it means for this job.
process.on('SIGINT', () => {})
// So may SIGTERM, by which the supervisor ends too: it will ask for a checkpoint, and this is as good as
// that. Once only: the next one ends the trainer, which is how the supervisor insists.
process.once('SIGTERM', () => channel.receive({ type: 'order', order: 'checkpoint' }))
process.on('message', (message: ToTrainer) => {
  if (message.type === 'probe') void end(probe)
  else if (message.type === 'start') void end(() => carryOut(message.assignment, message.paths))
  else channel.receive(message)
})

async function probe(): Promise<void> {
  await channel.send({ type: 'engine', engine: describe(await load(null)) })
}

async function carryOut(assignment: Assignment, paths: TrainerPaths): Promise<void> {
  channel.limit(assignment.secondsLeft)
  await (assignment.kind === 'evaluate' ? evaluate(assignment, paths) : train(assignment, paths))
}

/** Runs exported files only, so nothing to train with is loaded. */
async function evaluate(assignment: EvaluateAssignment, paths: TrainerPaths): Promise<void> {
  const wanted = assignment.environment?.threads ?? Number(process.env.WHITTLE_THREADS)
  const threads = wanted > 0 ? wanted : availableParallelism()
  await channel.send({ type: 'environment', environment: runtimeEnvironment(threads) })
  const context: EvaluationContext = {
    assignment,
    paths,
    threads,
    channel,
    checkpoints: new Checkpoints(paths.scratch, channel, evaluationForm),
    decisions: new Decisions(assignment.decisions, channel),
    progress: new Progress(channel, evaluationShares)
  }
  await channel.send({ type: 'evaluated', ...(await runEvaluation(context)) })
}

async function train(assignment: TrainAssignment, paths: TrainerPaths): Promise<void> {
  const engine = await load(assignment.environment)
  await channel.send({ type: 'environment', environment: environmentOf(engine) })
  await channel.send({ type: 'engine', engine: describe(engine) })
  const context: JobContext = {
    assignment,
    paths,
    engine,
    channel,
    checkpoints: new Checkpoints(paths.scratch, channel, pipelineForm),
    decisions: new Decisions(assignment.decisions, channel),
    progress: new Progress(channel)
  }
  await channel.send({ type: 'done', ...(await runPipeline(context)) })
}

/** Whatever happens is said before the process ends; only what cannot be said ends it otherwise. */
async function end(work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (thrown) {
    const error = asDiskError(thrown, "write the job's files")
    if (error instanceof Interrupted) {
      await channel.send({ type: 'ended', reason: error.reason })
    } else if (error instanceof ServiceError) {
      await channel.send({ type: 'failed', code: error.code, detail: error.detail })
    } else if (error instanceof DamagedDataset) {
      await channel.send({ type: 'damaged', detail: error.message })
    } else {
      process.stderr.write(`${error instanceof Error ? error.stack : error}\n`)
      process.exit(1)
    }
  }
  process.exit(0)
}

/** Sums depend on the number of threads, so a job keeps that of its first attempt wherever it goes. */
const load = (first: Environment | null): Promise<Engine> => {
  const choice = process.env.WHITTLE_ENGINE
  const threads = first?.threads ?? Number(process.env.WHITTLE_THREADS)
  return loadEngine(choice === 'tensorflow' || choice === 'wasm' ? choice : 'auto', { threads })
}

const describe = ({ name, version, reason, threads }: Engine): EngineInfo => ({
  name,
  version,
  reason,
  threads
})
