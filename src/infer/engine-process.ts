/**
 * An engine: a child process that holds one ONNX Runtime session. Entry file, forked by `engine.ts`.
 *
 * One model per process, so that a crash or a leak takes no other model along and unloading is the
 * end of the process. It has no keys and no settings, and ends with the channel to its parent.
 */
import { ServiceError } from '../errors.ts'
import { openSession, type Session } from '../runtime/session.ts'
import { classify, outputName } from './classify.ts'
import type { EngineModel, FromEngine, ToEngine } from './messages.ts'

let loaded: { readonly session: Session; readonly model: EngineModel } | undefined

process.on('disconnect', () => process.exit(0))
// Ctrl-C reaches the whole process group; the parent answers what it has accepted first.
process.on('SIGINT', () => {})
process.on('message', (message: ToEngine) => {
  if (message.type === 'load') void load(message.model)
  else void answer(message)
})
send({ type: 'started' })

async function load(model: EngineModel): Promise<void> {
  try {
    const session = await openSession(model.path, { threads: 1 })
    check(session, model)
    const { size, channels } = model.input
    await session.run(new Uint8Array(size * size * channels), 1) // the first run allocates
    loaded = { session, model }
    send({ type: 'loaded' })
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error
    send({ type: 'load-failed', detail: error.detail })
  }
}

function check(session: Session, { input }: EngineModel): void {
  const wanted = [input.size, input.size, input.channels].join('x')
  const received = session.inputShape.join('x')
  if (received !== wanted || !session.outputNames.includes(outputName)) {
    throw new ServiceError('MODEL_INVALID', {
      detail: `Cannot load the model: ${wanted} in and ${outputName} out is needed, received ${received} in and ${session.outputNames.join(', ')} out`
    })
  }
}

/** What goes wrong here beside a bad image is a defect: the process ends and the parent retries. */
async function answer({ id, questions }: ToEngine & { type: 'classify' }): Promise<void> {
  if (!loaded) throw new Error('Cannot classify: no model is loaded')
  const verdicts = await classify(loaded.session, loaded.model.input, questions)
  send({ type: 'classified', id, verdicts })
}

/** When nobody is left to hear it, `disconnect` ends this process; that needs no error beside it. */
function send(message: FromEngine): void {
  process.send?.(message, () => {})
}
