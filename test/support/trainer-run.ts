/** Runs one trainer as a supervisor would, with fixed answers in place of the api's. */
import { createHash } from 'node:crypto'
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import type { Assignment, TrainAssignment } from '../../src/contract/job.ts'
import type { Recipe } from '../../src/contract/recipe.ts'
import type { Latency } from '../../src/contract/report.ts'
import type { FromTrainer, TrainerPaths } from '../../src/contract/trainer.ts'
import { planJob } from '../../src/recipe/plan.ts'
import {
  startTrainer,
  type TrainerEnd,
  type TrainerProcess
} from '../../src/worker/trainer-process.ts'
import { shapeLabels, writeShapesDataset } from './shapes-dataset.ts'

const perClass = 80

export interface Bench<A extends Assignment = TrainAssignment> {
  readonly assignment: A
  readonly paths: TrainerPaths
}

/** Trains, prunes by gradients, fine-tunes and quantizes, in a second or two. */
export const smallRecipe: Recipe = {
  network: { architecture: 'simple-cnn', width: 0.5, inputSize: 16 },
  augment: [{ op: 'rotate', degrees: 10 }],
  train: { epochs: 5, batchSize: 16, learningRate: 0.05 },
  prune: { macs: 0.5, roundTo: 8, epochs: 3, criterion: 'taylor' },
  quantize: { images: 64 }
}

/** A folder with a shapes dataset, and the assignment that a catalogue would hand out for it. */
export async function trainerBench(t: TestContext, recipe: Recipe): Promise<Bench> {
  const folder = await mkdtemp(join(tmpdir(), 'whittle-trainer-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const dataset = join(folder, 'dataset')
  await mkdir(dataset)
  const { hash, id, name, version } = await writeShapesDataset(dataset, { seed: 1, perClass })
  const sides = { min: 16, median: 16, max: 16 }
  const third = perClass / 5
  const counts = { train: third * 3, validation: third, test: third }
  const classes = shapeLabels.map((label) => ({ label, ...counts }))
  const images = classes.length * perClass
  const size = { images, bytes: images * 500, width: sides, height: sides }
  const facts = { classes, ...size, grey: false }
  const plan = planJob(recipe, facts, { memoryLimit: 8 * 2 ** 30 })
  if (plan.faults.length > 0) throw new Error(JSON.stringify(plan.faults))
  const assignment: TrainAssignment = {
    kind: 'train',
    job: 'job_test',
    attempt: 1,
    dataset: { id, name, version, hash },
    model: 'shapes',
    seed: 5,
    recipe: plan.recipe,
    secondsLeft: null,
    environment: null,
    decisions: [],
    allowance: { memoryBytes: 2 ** 40, diskBytes: 2 ** 40 },
    checkpoints: [],
    artifacts: []
  }
  const scratch = await freshScratch(folder)
  return { assignment, paths: { scratch, dataset, packs: join(folder, 'packs') } }
}

/** The bench of the next attempt, with what the api would have kept of `messages`. */
export async function nextAttempt<A extends Assignment>(
  { assignment, paths }: Bench<A>,
  messages: readonly FromTrainer[]
): Promise<Bench<A>> {
  const scratch = await freshScratch(dirname(paths.scratch))
  const written = of(messages, 'checkpoint').toReversed()
  const checkpoints = [...written, ...assignment.checkpoints].slice(0, 2)
  for (const { name } of checkpoints) await copyFile(join(paths.scratch, name), join(scratch, name))
  const sent = of(messages, 'artifact').map(({ file, sha256 }) => ({ name: file, sha256 }))
  const decided = of(messages, 'decision').map(({ decision }) => decision)
  const [told] = of(messages, 'environment')
  return {
    assignment: {
      ...assignment,
      attempt: assignment.attempt + 1,
      environment: assignment.environment ?? told?.environment ?? null,
      decisions: [...assignment.decisions, ...decided],
      checkpoints,
      artifacts: [...assignment.artifacts, ...sent]
    },
    paths: { ...paths, scratch }
  }
}

/** Digest of every artifact that lies in the attempt's scratch folder, by name. */
export async function artifactDigests({ paths }: Bench): Promise<Record<string, string>> {
  const folder = join(paths.scratch, 'artifacts')
  const names = (await readdir(folder)).sort()
  const digests = names.map(async (name) => {
    const bytes = await readFile(join(folder, name))
    return [name, createHash('sha256').update(bytes).digest('hex')] as const
  })
  return Object.fromEntries(await Promise.all(digests))
}

/** Another attempt's scratch folder beside the first one. */
async function freshScratch(folder: string): Promise<string> {
  const scratch = await mkdtemp(join(folder, 'scratch-'))
  await mkdir(join(scratch, 'artifacts'))
  return scratch
}

export interface TrainerRun {
  readonly messages: readonly FromTrainer[]
  readonly end: TrainerEnd
}

/** Runs to the end; `react` may send orders or kill after each message. */
export async function runTrainer(
  { assignment, paths }: Bench<Assignment>,
  react: (message: FromTrainer, trainer: TrainerProcess) => void = () => {},
  { engine = 'auto', threads = 1, storesDecisions = true } = {}
): Promise<TrainerRun> {
  const messages: FromTrainer[] = []
  let output = ''
  const trainer = startTrainer({
    engine,
    threads,
    onOutput: (text) => {
      output += text
    },
    onMessage(message) {
      messages.push(message)
      if (message.type === 'measure') {
        const latencies = message.variants.map(({ variant }) => [variant, latency] as const)
        trainer.send({ type: 'latency', latencies: Object.fromEntries(latencies) })
      }
      if (message.type === 'decision' && storesDecisions) {
        trainer.send({ type: 'decision-stored', stage: message.decision.stage })
      }
      if (message.type === 'checkpoint') {
        trainer.send({ type: 'checkpoint-kept', name: message.name, seconds: 0 })
      }
      react(message, trainer)
    }
  })
  trainer.send({ type: 'start', assignment, paths })
  const end = await trainer.ended
  if (end.exitCode !== 0 && end.signal === null) throw new Error(`The trainer failed: ${output}`)
  return { messages, end }
}

/** All messages of one type. */
export function of<T extends FromTrainer['type']>(
  messages: readonly FromTrainer[],
  type: T
): Extract<FromTrainer, { type: T }>[] {
  return messages.filter((m): m is Extract<FromTrainer, { type: T }> => m.type === type)
}

/** What a stand-in for the api's meter answers for every file. */
export const latency: Latency = {
  batch: 1,
  threads: 1,
  medianMs: 1,
  p90Ms: 1,
  runs: 10,
  noisy: false,
  machine: { cpu: 'test', features: [], onnxruntime: '0' }
}
