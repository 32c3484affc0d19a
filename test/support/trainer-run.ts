/** Runs one trainer as a supervisor would, with a fixed answer in place of the api's latency meter. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { Assignment } from '../../src/contract/job.ts'
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

export interface Bench {
  readonly assignment: Assignment
  readonly paths: TrainerPaths
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
  const facts = { classes, width: sides, height: sides, grey: false }
  const plan = planJob(recipe, facts, { memoryLimit: 8 * 2 ** 30 })
  if (plan.faults.length > 0) throw new Error(JSON.stringify(plan.faults))
  const assignment: Assignment = {
    job: 'job_test',
    attempt: 1,
    dataset: { id, name, version, hash },
    model: 'shapes',
    seed: 5,
    recipe: plan.recipe,
    secondsLeft: null,
    checkpoints: []
  }
  const scratch = await freshScratch(folder)
  return { assignment, paths: { scratch, dataset, packs: join(folder, 'packs') } }
}

/** Another attempt's scratch folder beside the first one. */
export async function freshScratch(folder: string): Promise<string> {
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
  { assignment, paths }: Bench,
  react: (message: FromTrainer, trainer: TrainerProcess) => void = () => {},
  engine = 'auto'
): Promise<TrainerRun> {
  const messages: FromTrainer[] = []
  let output = ''
  const trainer = startTrainer({
    engine,
    threads: 1,
    onOutput: (text) => {
      output += text
    },
    onMessage(message) {
      messages.push(message)
      if (message.type === 'measure') {
        const latencies = message.variants.map(({ variant }) => [variant, latency] as const)
        trainer.send({ type: 'latency', latencies: Object.fromEntries(latencies) })
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
