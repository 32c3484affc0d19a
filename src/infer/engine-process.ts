/**
 * An engine: a child process that holds one ONNX Runtime session. Entry file, forked by `engine.ts`.
 *
 * One model per process, so that a crash or a leak takes no other model along and unloading is the
 * end of the process. It has no keys and no settings, and ends with its parent.
 */
import { Socket } from 'node:net'
import { endWithParent } from '../end-with-parent.ts'
import { ServiceError } from '../errors.ts'
import { countBuffersWithHeap } from '../runtime/heap.ts'
import { openSession, type Session } from '../runtime/session.ts'
import { Classifier, outputName } from './classify.ts'
import { readFrames, readQuestion, writeAnswer } from './frames.ts'
import { type EngineModel, type FromEngine, framesFd, sharedFd, type ToEngine } from './messages.ts'
import { SharedBytesReader } from './shared-bytes.ts'

let loaded: Classifier | undefined
const shared = new SharedBytesReader(sharedFd)

countBuffersWithHeap()
endWithParent()
// Ctrl-C reaches the whole process group; the parent answers what it has accepted first.
process.on('SIGINT', () => {})
process.on('message', (order: ToEngine) => void load(order))
const frames = new Socket({ fd: framesFd })
// With the parent gone there is nobody to answer; the channel ends this process.
frames.on('error', () => {})
let lastAnswer = Promise.resolve()
readFrames(frames, (frame) => {
  // One after the other: the next batch takes the memory of the one before.
  lastAnswer = lastAnswer.then(() => answer(frame))
})
send({ type: 'started' })

async function load({ model, maxBatch }: ToEngine): Promise<void> {
  try {
    const session = await openSession(model.path, { threads: 1 })
    check(session, model)
    await warmUp(session, model, maxBatch)
    loaded = new Classifier(session, model.input)
    send({ type: 'loaded' })
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error
    send({ type: 'load-failed', detail: error.detail })
  }
}

/** The first run of each size allocates, which no caller should wait for. */
async function warmUp(session: Session, { input }: EngineModel, maxBatch: number): Promise<void> {
  const images = new Uint8Array(maxBatch * input.size * input.size * input.channels)
  for (let n = 1; n <= maxBatch; n += 1) await session.run(images, n)
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
async function answer(frame: Buffer): Promise<void> {
  if (!loaded) throw new Error('Cannot classify: no model is loaded')
  const { id, questions } = readQuestion(frame, shared)
  writeAnswer(frames, id, await loaded.classify(questions))
}

/** When nobody is left to hear it, `disconnect` ends this process; that needs no error beside it. */
function send(message: FromEngine): void {
  process.send?.(message, () => {})
}
