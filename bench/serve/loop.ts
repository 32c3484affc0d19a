/**
 * The roof: our decoder and ONNX Runtime in a plain loop, nothing else. Forked by `roof.ts`.
 *
 * Waits for `{ seconds }`, then says how many images it did and how long each took.
 */
import { readFileSync } from 'node:fs'
import { preprocess } from '../../src/image/preprocess.ts'
import type { InputShape } from '../../src/image/shape.ts'
import { openSession } from '../../src/runtime/session.ts'

interface Task {
  readonly model: string
  readonly input: InputShape
  readonly form: 'encoded' | 'pixels'
  readonly threads: number
  /** Files of one image each. */
  readonly images: readonly string[]
}

const task = JSON.parse(process.argv[2] ?? '') as Task
const images = task.images.map((file) => readFileSync(file))
const session = await openSession(task.model, { threads: task.threads })

async function one(i: number): Promise<void> {
  const bytes = images[i % images.length] ?? Buffer.alloc(0)
  await session.run(task.form === 'pixels' ? bytes : await preprocess(bytes, task.input), 1)
}

for (let i = 0; i < 20; i++) await one(i)
process.on('message', async ({ seconds }: { seconds: number }) => {
  const timesMs: number[] = []
  const end = performance.now() + seconds * 1000
  for (let i = process.pid, last = performance.now(); last < end; i++) {
    await one(i)
    const now = performance.now()
    timesMs.push(now - last)
    last = now
  }
  process.send?.(timesMs)
})
process.once('disconnect', () => process.exit())
process.send?.('ready')
