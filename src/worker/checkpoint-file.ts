/**
 * A checkpoint as bytes: one safetensors file with everything that a job has come to.
 *
 * Weights and the state of training are tensors; exported models and evaluations are files within the
 * file; a JSON member names them all. Files of before a member was added are read as if it were empty.
 */
import { type Static, Type } from 'typebox'
import Value from 'typebox/value'
import { Latency, VariantName } from '../contract/report.ts'
import { readNetwork, writeNetwork } from '../network/document.ts'
import type { Weights } from '../network/graph.ts'
import { readSafetensors, writeSafetensors } from '../network/safetensors.ts'
import { validateWeights } from '../network/validate.ts'
import type { FitProgress } from '../train/state.ts'
import type { CheckpointForm } from './checkpoints.ts'
import { readEvaluation, writeEvaluation } from './evaluation-file.ts'
import type { Model } from './job-context.ts'
import type { ExportedVariant, PipelineState, VariantEvaluation } from './pipeline-state.ts'

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
  stopReason: Type.Union([Type.Null(), Type.Literal('stopped'), Type.Literal('limit')]),
  exported: Type.Optional(
    Type.Array(
      Type.Object({
        variant: VariantName,
        from: Type.Union([VariantName, Type.Null()]),
        parameters: count,
        macs: count
      })
    )
  ),
  evaluated: Type.Optional(Type.Array(VariantName)),
  latencies: Type.Optional(Type.Union([Type.Record(Type.String(), Latency), Type.Null()]))
})

type Tensors = Map<string, { readonly shape: readonly number[]; readonly data: Float32Array }>
type Files = ReadonlyMap<string, Uint8Array>

const modelFile = (variant: VariantName): string => `files/${variant}.onnx`
const evaluationFile = (variant: VariantName): string => `files/${variant}.evaluation.json`

/** The form of the checkpoints of a job that trains. */
export const pipelineForm: CheckpointForm<PipelineState> = {
  write: writeCheckpoint,
  read: readCheckpoint
}

/** The bytes of a checkpoint: a pure function of the state. */
export function writeCheckpoint(state: PipelineState): Uint8Array {
  const tensors: Tensors = new Map()
  addAll(tensors, 'baseline/', state.baseline?.weights)
  addAll(tensors, 'pruned/', state.pruned?.weights)
  addAll(tensors, 'fit/', state.fit?.tensors)
  const files = new Map([
    ...state.exported.map(({ variant, onnx }) => [modelFile(variant), onnx] as const),
    ...[...state.evaluated].map(
      ([variant, evaluation]) => [evaluationFile(variant), writeEvaluation(evaluation)] as const
    )
  ])
  const { format, progress } = state.fit ?? {}
  const header = {
    format: 'whittle-checkpoint-1',
    baseline: state.baseline && writeNetwork(state.baseline.network),
    pruned: state.pruned && writeNetwork(state.pruned.network),
    fit: state.fit && { format, progress },
    fineTuned: state.fineTuned,
    stopReason: state.stopReason,
    exported: state.exported.map(({ onnx: _, ...facts }) => facts),
    evaluated: [...state.evaluated.keys()],
    latencies: state.latencies
  }
  return writeSafetensors({ tensors, metadata: { whittle: JSON.stringify(header) }, files })
}

/** A state from the bytes of a checkpoint. @throws RangeError when they are none of ours. */
export function readCheckpoint(bytes: Uint8Array): PipelineState {
  const { tensors, metadata, files } = readSafetensors(bytes)
  const header = readHeader(metadata.whittle ?? '')
  const all = new Map([...tensors].map(([name, { data }]) => [name, data]))
  const { exported = [], evaluated = [] } = header
  return {
    baseline: model(header.baseline, all, 'baseline/'),
    pruned: model(header.pruned, all, 'pruned/'),
    fit: header.fit && { ...header.fit, tensors: under(all, 'fit/') },
    fineTuned: header.fineTuned,
    stopReason: header.stopReason,
    exported: exported.map(
      (facts): ExportedVariant => ({ ...facts, onnx: fileOf(files, modelFile(facts.variant)) })
    ),
    evaluated: new Map(
      evaluated.map((variant): [VariantName, VariantEvaluation] => [
        variant,
        readEvaluation(fileOf(files, evaluationFile(variant)))
      ])
    ),
    latencies: header.latencies ?? null
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

function fileOf(files: Files, name: string): Uint8Array {
  const bytes = files.get(name)
  if (bytes !== undefined) return bytes
  throw new RangeError(`Cannot read checkpoint: expected ${name}, received ${[...files.keys()]}`)
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
