/**
 * A TensorFlow session over a graph of ours.
 *
 * The binding loads graphs only as SavedModels from a folder, so the graph passes through a temporary
 * one. Feeds share their memory with the session for the time of a call; what a call creates natively,
 * it deletes before it returns.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Edge, GraphDef } from './graph-def.ts'
import type { NativeBackend } from './native-backend.ts'
import type { InputSpec, Output } from './program.ts'

export interface SessionFeed extends InputSpec {
  readonly edge: Edge
  readonly data: ArrayBufferView
}

export interface NativeSession {
  /** Copies of the values at `fetches`, in order. */
  call(feeds: readonly SessionFeed[], fetches: readonly Edge[]): Output[]
  close(): void
}

export const openNativeSession = ({ binding }: NativeBackend, graph: GraphDef): NativeSession => {
  const session = load(graph, (folder) => binding.loadSavedModel(folder, 'serve'))
  const types = { float32: binding.TF_FLOAT, int32: binding.TF_INT32, uint8: binding.TF_UINT8 }
  return {
    call(feeds, fetches) {
      const ids: number[] = []
      try {
        for (const { shape, dtype, data } of feeds) {
          ids.push(binding.createTensor(shape, types[dtype], data))
        }
        const sources = feeds.map(({ edge }) => firstOutput(edge)).join()
        const targets = fetches.map(firstOutput).join()
        const fetched = binding.runSavedModel(session, ids, sources, targets).map(({ id }) => id)
        ids.push(...fetched)
        return fetched.map((id) => binding.tensorDataSync(id))
      } finally {
        for (const id of ids) {
          binding.deleteTensor(id)
        }
      }
    },
    close: () => binding.deleteSavedModel(session)
  }
}

/** The binding takes what stands after the colon as the output's number, and reads names without one as 0. */
const firstOutput = (edge: Edge): string => `${edge}:0`

const load = (graph: GraphDef, open: (folder: string) => number): number => {
  const folder = mkdtempSync(join(tmpdir(), 'whittle-graph-'))
  try {
    writeFileSync(join(folder, 'saved_model.pb'), graph.savedModel())
    return open(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}
