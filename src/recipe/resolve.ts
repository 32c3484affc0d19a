/**
 * From what a caller wrote to a recipe with every choice made, each with its reason.
 *
 * Explicit values are constraints and stay as they are, wrong ones too: `check.ts` names those.
 */
import { completeOp } from '../augment/transforms.ts'
import type { AugmentOp, presets, Recipe, ResolvedRecipe } from '../contract/recipe.ts'
import { choosePruning, chooseQuantization } from './choose-compression.ts'
import { chooseNetwork } from './choose-network.ts'
import { chooseTraining } from './choose-training.ts'
import { Decisions } from './decisions.ts'
import type { DatasetFacts } from './facts.ts'
import { balanced, type Preset } from './preset/balanced.ts'

export type PresetName = (typeof presets)[number]

const presetOf: Readonly<Record<PresetName, Preset>> = { balanced }

export interface Resolution {
  readonly recipe: ResolvedRecipe
  /** By pointer from the recipe's root, for what was filled in: `/network/inputSize`. */
  readonly reasons: Readonly<Record<string, string>>
}

export const resolveRecipe = (
  asked: Recipe | PresetName | undefined,
  facts: DatasetFacts
): Resolution => {
  const recipe: Recipe = typeof asked === 'string' ? { extends: asked } : (asked ?? {})
  const decisions = new Decisions()
  const name = decisions.fill(
    '/preset',
    recipe.extends,
    'balanced',
    'the preset of jobs that name none'
  )
  const preset = presetOf[name]
  const network = chooseNetwork(recipe.network ?? {}, facts, decisions)
  const { channels } = network
  const augment = chooseAugmentation(recipe.augment, preset, { channels, decisions })
  const train = chooseTraining(recipe.train ?? {}, facts, { channels, decisions })
  const quantize = chooseQuantization(recipe.quantize, facts, { preset, decisions })
  const isQuantized = quantize !== null
  const prune = choosePruning(recipe.prune, { preset, train, isQuantized, decisions })
  return {
    recipe: { preset: name, network, augment, train, prune, quantize },
    reasons: decisions.reasons
  }
}

const chooseAugmentation = (
  given: readonly AugmentOp[] | undefined,
  { geometric, colour }: Preset,
  { channels, decisions }: { readonly channels: 1 | 3; readonly decisions: Decisions }
): AugmentOp[] => {
  const mild = channels === 3 ? [...geometric, ...colour] : geometric
  const reason = 'mild, for anything upright; flips only when asked for: they may change the label'
  return decisions.fill('/augment', given, mild, reason).map(completeOp)
}
