/**
 * How far a job's pipeline has come: what a checkpoint file says.
 *
 * One safetensors file holds it all: finished models, the training under way, and a JSON member that
 * names them. A stage that left its result here is not run again.
 */
import { type Static, Type } from 'typebox'
import Value from 'typebox/value'
import { readNetwork, writeNetwork } from '../network/document.ts'
import type { Weights } from '../network/graph.ts'
import { readSafetensors, writeSafetensors } from '../network/safetensors.ts'
import { validateWeights } from '../network/validate.ts'
import type { FitProgress, FitState } from '../train/state.ts'
import type { Model } from './job-context.ts'

export interface PipelineState {
  /** The trained network, once training has ended. */
  readonly baseline: Model | null
  /** The pruned network: before its fine-tuning has ended, with the weights it starts from. */
  readonly pruned: Model | null
  /** Training under way: of the baseline while that is null, else fine-tuning of `pruned`. */
  readonly fit: FitState | null
  /** Whether `pruned` is finished. */
  readonly fineTuned: boolean
  /** Why training ended before its time, or null. */
  readonly stopReason: 'stopped' | 'limit' | null
}

export const emptyState: PipelineState = {
  baseline: null,
  pruned: null,
  fit: null,
  fineTuned: false,
  stopReason: null
}

const count = Type.Integer({ minimum: 0 })
/** FitProgress; the best epoch is read by `train` alone. */
const Progress = Type.Unsafe<FitProgress>(
  Type.Object({
    epoch: count,
    step: count,
    updates: count,
    lossSum: Type.Number(),
    correct: Type.Number(),
    images: count,
    best: Type.Union([Type.Null(), Type.Object({})])
  })
)
const Text = Type.Union([Type.String(), Type.Null()])
const Header = Type.Object({
  format: Type.Literal('whittle-checkpoint-1'),
  baseline: Text,
  pruned: Text,
  fit: Type.Union([
    Type.Null(),
    Type.Object({ format: Type.Literal('whittle-fit-1'), progress: Progress })
  ]),
  fineTuned: Type.Boolean(),
  stopReason: Type.Union([Type.Null(), Type.Literal('stopped'), Type.Literal('limit')])
})

type Tensors = Map<string, { readonly shape: readonly number[]; readonly data: Float32Array }>

/** The bytes of a checkpoint. */
export function writePipelineState(state: PipelineState): Uint8Array {
  const tensors: Tensors = new Map()
  addAll(tensors, 'baseline/', state.baseline?.weights)
  addAll(tensors, 'pruned/', state.pruned?.weights)
  addAll(tensors, 'fit/', state.fit?.tensors)
  const { format, progress } = state.fit ?? {}
  const header = {
    format: 'whittle-checkpoint-1',
    baseline: state.baseline && writeNetwork(state.baseline.network),
    pruned: state.pruned && writeNetwork(state.pruned.network),
    fit: state.fit && { format, progress },
    fineTuned: state.fineTuned,
    stopReason: state.stopReason
  }
  return writeSafetensors({ tensors, metadata: { whittle: JSON.stringify(header) } })
}

/** A state from the bytes of a checkpoint. @throws RangeError when they are none of ours. */
export function readPipelineState(bytes: Uint8Array): PipelineState {
  const { tensors, metadata } = readSafetensors(bytes)
  const header = readHeader(metadata.whittle ?? '')
  const all = new Map([...tensors].map(([name, { data }]) => [name, data]))
  return {
    baseline: model(header.baseline, all, 'baseline/'),
    pruned: model(header.pruned, all, 'pruned/'),
    fit: header.fit && { ...header.fit, tensors: under(all, 'fit/') },
    fineTuned: header.fineTuned,
    stopReason: header.stopReason
  }
}

function readHeader(text: string): Static<typeof Header> {
  let header: unknown
  try {
    header = JSON.parse(text)
  } catch (cause) {
    throw new RangeError('Cannot read checkpoint: its description is not JSON', { cause })
  }
  if (Value.Check(Header, header)) return header
  throw new RangeError(`Cannot read checkpoint: received the description ${text.slice(0, 200)}`)
}

function addAll(tensors: Tensors, prefix: string, values: Weights | undefined): void {
  for (const [name, data] of values ?? []) {
    tensors.set(prefix + name, { shape: [data.length], data })
  }
}

function model(text: string | null, all: Weights, prefix: string): Model | null {
  if (text === null) return null
  const network = readNetwork(text)
  const weights = under(all, prefix)
  validateWeights(network, weights)
  return { network, weights }
}

function under(all: Weights, prefix: string): Map<string, Float32Array> {
  const found = [...all].filter(([name]) => name.startsWith(prefix))
  return new Map(found.map(([name, data]) => [name.slice(prefix.length), data]))
}
