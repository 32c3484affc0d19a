/** Plain loops side by side: what these cores could do if nothing had to be received or answered. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Workload } from './workloads.ts'

export interface RoofRun {
  readonly perSecond: number
  /** Milliseconds that each image took. */
  readonly timesMs: readonly number[]
}

/** Runs `processes` loops of `threads` threads for so many seconds. */
export async function runRoof(
  { model, form, imageFiles }: Workload,
  { processes, threads, seconds }: { processes: number; threads: number; seconds: number }
): Promise<RoofRun> {
  const task = { model: model.path, input: model.input, form, threads, images: imageFiles }
  const file = fileURLToPath(new URL('./loop.ts', import.meta.url))
  const children = Array.from({ length: processes }, () => fork(file, [JSON.stringify(task)]))
  try {
    await Promise.all(children.map((child) => once(child, 'message')))
    const answers = children.map((child) => answer(child, seconds))
    const times = (await Promise.all(answers)).flat()
    return { perSecond: times.length / seconds, timesMs: times }
  } finally {
    await Promise.all(children.map(end))
  }
}

async function answer(child: ChildProcess, seconds: number): Promise<number[]> {
  child.send({ seconds })
  const [times] = (await once(child, 'message')) as [number[]]
  return times
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return
  child.disconnect()
  await once(child, 'exit')
}
