/** Holds engines until it is killed; tells their process ids. Forked by a test. */
import { Engines } from '../../src/infer/engines.ts'
import type { EngineModel } from '../../src/infer/messages.ts'
import { flatImage } from './images.ts'

process.once('message', async (model: EngineModel) => {
  const engines = new Engines({ perModel: 1 })
  const bytes = await flatImage(0)
  await engines.ask(model, [{ bytes, top: 1 }], { signal: new AbortController().signal })
  process.send?.(engines.pids(model.key))
})
