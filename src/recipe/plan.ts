/**
 * The one door for those who accept jobs: resolves, checks and estimates a recipe before it is queued.
 */
import type { Recipe, ResolvedRecipe } from '../contract/recipe.ts'
import type { ErrorCode, Fault } from '../errors.ts'
import { checkRecipe } from './check.ts'
import { estimateJob, type JobEstimate } from './estimate.ts'
import type { DatasetFacts } from './facts.ts'
import { type PresetName, resolveRecipe } from './resolve.ts'

export interface PlanLimits {
  /** Bytes that a trainer may take. */
  readonly memoryLimit: number
  /** Bytes of checkpoints and artifacts that can be stored for one job. @default no limit */
  readonly storageLimit?: number
}

export interface JobPlan {
  readonly recipe: ResolvedRecipe
  /** Why each filled-in value is what it is, by pointer from the recipe's root. */
  readonly reasons: Readonly<Record<string, string>>
  /** null when the network cannot be built; a fault says why. */
  readonly estimate: JobEstimate | null
  /** Everything that is wrong, with pointers into the job body. Empty: the job can be queued. */
  readonly faults: readonly Fault[]
  /** The code to refuse with; null without faults. */
  readonly code: ErrorCode | null
}

/** Weeks of a large GPU, centuries of two cores: beyond it a recipe is a mistake. */
const TRAINING_MACS_LIMIT = 1e19

/** Plans a job. `asked` has passed the schema of the job body. Pure: no files, no tfjs. */
export const planJob = (
  asked: Recipe | PresetName | undefined,
  facts: DatasetFacts,
  { memoryLimit, storageLimit = Number.POSITIVE_INFINITY }: PlanLimits
): JobPlan => {
  const { recipe, reasons } = resolveRecipe(asked, facts)
  const faults = checkRecipe(recipe, facts)
  const isBuildable = !faults.some(({ pointer }) => pointer.startsWith('/recipe/network'))
  const estimate = isBuildable ? estimateJob(recipe, facts) : null
  const sizeFaults = estimate ? arithmeticFaults(estimate, recipe) : []
  const memoryFaults = estimate ? memoryFaultsOf(estimate, recipe, memoryLimit) : []
  const storageFaults = estimate ? storageFaultsOf(estimate, recipe, storageLimit) : []
  const wrong = [...faults, ...sizeFaults]
  return {
    recipe,
    reasons,
    estimate,
    faults: [...wrong, ...memoryFaults, ...storageFaults],
    code: codeOf({ wrong, memory: memoryFaults, storage: storageFaults }, facts)
  }
}

const codeOf = (
  faults: { readonly [kind in 'wrong' | 'memory' | 'storage']: readonly Fault[] },
  { classes }: DatasetFacts
): ErrorCode | null => {
  if (classes.length < 2) return 'DATASET_SINGLE_CLASS'
  if (faults.wrong.length > 0) return 'REQUEST_INVALID'
  if (faults.memory.length > 0) return 'MEMORY_ESTIMATE_EXCEEDED'
  return faults.storage.length > 0 ? 'DISK_ESTIMATE_EXCEEDED' : null
}

const arithmeticFaults = (
  { trainingMacs }: JobEstimate,
  { train }: ResolvedRecipe
): readonly Fault[] => {
  if (trainingMacs <= TRAINING_MACS_LIMIT) return []
  const needed = trainingMacs.toExponential(1)
  const detail = `Cannot train for ${train.epochs} epochs: it would take ${needed} multiply-accumulates, above ${TRAINING_MACS_LIMIT.toExponential()}`
  return [{ pointer: '/recipe/train/epochs', detail, received: train.epochs }]
}

const memoryFaultsOf = (
  { memoryBytes, memoryStage }: JobEstimate,
  { network, train }: ResolvedRecipe,
  memoryLimit: number
): readonly Fault[] => {
  if (memoryBytes <= memoryLimit) return []
  const excess = `about ${mebibytes(memoryBytes)} would be needed, above the limit of ${mebibytes(memoryLimit)}`
  if (memoryStage === 'train') {
    const detail = `Cannot train with batches of ${train.batchSize}: ${excess}`
    return [{ pointer: '/recipe/train/batchSize', detail, received: train.batchSize }]
  }
  // Their batches are of one size for all jobs.
  const detail = `Cannot ${memoryStage} a network of this size: ${excess}`
  return [{ pointer: '/recipe/network/inputSize', detail, received: network.inputSize }]
}

const storageFaultsOf = (
  { storedBytes }: JobEstimate,
  { network }: ResolvedRecipe,
  storageLimit: number
): readonly Fault[] => {
  if (storedBytes <= storageLimit) return []
  const detail = `Cannot store a network of this size: about ${mebibytes(storedBytes)} would be needed for its checkpoints and files, above the ${mebibytes(storageLimit)} that the service can ever hold`
  return [{ pointer: '/recipe/network', detail, received: network.architecture }]
}

const mebibytes = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)} MiB`
