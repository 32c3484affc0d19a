import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import sharp from 'sharp'
import type { ServiceError } from '../../../src/errors.ts'
import { Engines, type EnginesOptions } from '../../../src/infer/engines.ts'
import type { EngineModel, Question, Verdict } from '../../../src/infer/messages.ts'
import { brightClassifier } from '../../support/bright-classifier.ts'
import { flatImage } from '../../support/images.ts'
import { until } from '../../support/until.ts'

const never = new AbortController().signal

async function models(t: TestContext, count = 1): Promise<EngineModel[]> {
  const folder = await mkdtemp(join(tmpdir(), 'whittle-engines-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const made: EngineModel[] = []
  for (let i = 0; i < count; i++) {
    const path = join(folder, `${i}.onnx`)
    await writeFile(path, brightClassifier())
    const serves = { model: `model-${i}`, version: 1, variant: 'int8' }
    const input = { size: 8, channels: 1, resize: 'stretch' } as const
    made.push({ key: `model ${i}`, serves, path, input })
  }
  return made
}

function engines(t: TestContext, options: Partial<EnginesOptions> = {}): Engines {
  const made = new Engines({ perModel: 1, ...options })
  t.after(() => made.close())
  return made
}

const classify = (
  pool: Engines,
  model: EngineModel,
  questions: readonly Question[],
  signal: AbortSignal
): Promise<readonly Verdict[]> =>
  pool.ask(model, questions, { signal }).then(({ verdicts }) => verdicts)

const winner = (verdict: Verdict | undefined): number | string | undefined =>
  verdict && ('code' in verdict ? verdict.code : 'classes' in verdict ? verdict.classes[0] : 'all')

const refused = (code: string) => (error: unknown) => {
  assert.equal((error as { code?: string }).code, code)
  return true
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

test('classify() answers in the order of the questions, a bad image for itself', async (t) => {
  const [model] = await models(t)
  assert.ok(model)
  const pool = engines(t)
  const [white, black] = [await flatImage(255), await flatImage(0, 'webp')]
  const questions = [white, Buffer.from('no image'), black, white.subarray(0, 60)]
  const verdicts = await classify(
    pool,
    model,
    questions.map((bytes) => ({ bytes, top: 2 })),
    never
  )
  assert.deepEqual(verdicts.map(winner), [1, 'IMAGE_FORMAT_UNSUPPORTED', 0, 'IMAGE_TRUNCATED'])
  const [first] = verdicts
  assert.ok(first && 'scores' in first)
  assert.deepEqual(first.classes, [1, 0])
  assert.ok(Math.abs((first.scores[0] ?? 0) - 1 / (1 + Math.exp(-16 * (127 / 128)))) < 1e-6)
})

test('SIGKILL of engines under load loses no request', async (t) => {
  const [model] = await models(t)
  assert.ok(model)
  const pool = engines(t, { perModel: 2 })
  const images = [await flatImage(0), await flatImage(255)]
  let served = 0
  let asked = 0
  const killed = new Set<number>()
  const client = async (which: number) => {
    for (let i = 0; i < 40 || killed.size < 4; i++) {
      asked += 1
      const bytes = images[which] ?? Buffer.alloc(0)
      const [verdict] = await classify(pool, model, [{ bytes, top: 1 }], never)
      const got = winner(verdict)
      assert.ok(got === which || got === 'ENGINE_CRASHED', `received ${got}`)
      served += 1
    }
  }
  // One that is dead already may be in the list still, and killing it again is no crash.
  const victim = () => pool.pids(model.key).find((pid) => !killed.has(pid))
  const killer = async () => {
    while (killed.size < 4) {
      const before = served
      await until(() => served >= before + 20 && victim() !== undefined)
      const pid = victim() ?? 0
      process.kill(pid, 'SIGKILL')
      killed.add(pid)
    }
  }
  await Promise.all([killer(), ...[0, 1, 0, 1].map(client)])
  assert.equal(served, asked)
  await until(() => pool.status.crashes === killed.size)
  // Another image: one that happened to be in two engines that were killed is refused from then on.
  const bytes = await flatImage(240)
  const [verdict] = await classify(pool, model, [{ bytes, top: 1 }], never)
  assert.equal(winner(verdict), 1)
  assert.equal(pool.status.ready, true)
})

test('a caller that fills the line neither keeps another out nor waits behind itself', async (t) => {
  const [model] = await models(t)
  assert.ok(model)
  const pool = engines(t, { places: 16, maxBatch: 1 })
  const bytes = await flatImage(255)
  const order: string[] = []
  const ask = async (caller: string) => {
    await pool.ask(model, [{ bytes, top: 1 }], { signal: never, caller })
    order.push(caller)
  }
  const many = Array.from({ length: 16 }, () => ask('many'))
  const outcome = ask('many').catch((error: ServiceError) => error.code)
  const few = [ask('few'), ask('few')]
  assert.equal(await outcome, 'QUEUE_FULL')
  await Promise.all([...many, ...few])
  // With one engine and turns in between, both have come long before the sixteenth of the other.
  assert.ok(order.lastIndexOf('few') < 8, order.join(' '))
})

test('an image whose engines die again and again is refused, and the model comes back', async (t) => {
  const [model] = await models(t)
  assert.ok(model)
  const pool = engines(t, { deadlineMs: 2000 })
  const bytes = await flatImage(255)
  const asked = classify(pool, model, [{ bytes, top: 1 }], never).then(
    ([verdict]) => winner(verdict),
    (error) => error.code
  )
  let answer: unknown
  void asked.then((received) => {
    answer = received
  })
  let kills = 0
  while (answer === undefined) {
    for (const pid of pool.pids(model.key).filter(isAlive)) {
      kills += 1
      process.kill(pid, 'SIGKILL')
    }
    await sleep(1)
  }
  assert.ok(answer === 'ENGINE_CRASHED' || answer === 'MODEL_NOT_READY', `received ${answer}`)
  assert.ok(kills >= 2)
  // The first one may be refused for what it did.
  const other = await flatImage(254)
  let again: unknown
  await until(() => {
    void classify(pool, model, [{ bytes: other, top: 1 }], never).then(
      ([verdict]) => {
        again = winner(verdict)
      },
      () => {}
    )
    return again !== undefined
  })
  assert.equal(again, 1)
  assert.match(pool.status.models[0]?.lastExit ?? '', /SIGKILL/)
})

test('an image that has ended two engines is refused from then on, before it reaches a third', async (t) => {
  const [model] = await models(t)
  assert.ok(model)
  const poison: unknown[] = []
  const pool = engines(t, { onPoison: (one) => poison.push(one) })
  const white = { bytes: await flatImage(255), top: 1 }
  await classify(pool, model, [white], never)
  // Large, so that there is time to end the engine that decodes it.
  const create = { width: 5000, height: 5000, channels: 3, background: '#888' } as const
  const large = { bytes: await sharp({ create }).png().toBuffer(), top: 1 }
  const asked = classify(pool, model, [large], never)
  for (const crashes of [1, 2]) {
    await until(() => pool.status.models[0]?.waiting === 0 && pool.pids(model.key).length === 1)
    process.kill(pool.pids(model.key)[0] ?? 0, 'SIGKILL')
    await until(() => pool.status.crashes === crashes)
  }
  const [crashed] = await asked
  assert.equal(winner(crashed), 'ENGINE_CRASHED')
  assert.ok(crashed && !('isKnown' in crashed))
  const sha256 = createHash('sha256').update(large.bytes).digest('hex')
  assert.deepEqual(poison, [{ model: model.key, sha256 }])
  const verdicts = await classify(pool, model, [white, large], never)
  assert.deepEqual(verdicts.map(winner), [1, 'ENGINE_CRASHED'])
  assert.ok(verdicts[1] && 'isKnown' in verdicts[1])
  assert.equal(pool.status.crashes, 2)
})

test('close() refuses what is being answered', async (t) => {
  const [model] = await models(t)
  assert.ok(model)
  const pool = engines(t)
  const bytes = await flatImage(255)
  await classify(pool, model, [{ bytes, top: 1 }], never)
  // So many that the first batch of them is in hand, and the last cannot be answered before the engine ends.
  const many = Array.from({ length: 500 }, () => ({ bytes, top: 1 }))
  const asked = classify(pool, model, many, never)
  const refusal = assert.rejects(asked, refused('SHUTTING_DOWN'))
  await pool.close()
  await refusal
})

test('a full line refuses with a time to come back, and frees the places of those who leave', async (t) => {
  const [model] = await models(t)
  assert.ok(model)
  const pool = engines(t, { places: 4 })
  const bytes = await flatImage(255)
  const ask = (n: number, signal = never) =>
    classify(
      pool,
      model,
      Array.from({ length: n }, () => ({ bytes, top: 1 })),
      signal
    )
  const leaving = new AbortController()
  const left = ask(3, leaving.signal)
  await assert.rejects(ask(2), (error: { code: string; retryAfter: number }) => {
    assert.equal(error.code, 'QUEUE_FULL')
    assert.ok(error.retryAfter >= 1 && error.retryAfter <= 30)
    return true
  })
  leaving.abort(new Error('the client has gone'))
  await assert.rejects(left, /the client has gone/)
  assert.deepEqual((await ask(2)).map(winner), [1, 1])
})

test('a model that cannot be loaded is not ready, and others are served', async (t) => {
  const [model] = await models(t)
  assert.ok(model)
  const pool = engines(t)
  const broken = { ...model, key: 'broken', path: `${model.path}.gone` }
  const bytes = await flatImage(255)
  await assert.rejects(
    classify(pool, broken, [{ bytes, top: 1 }], never),
    refused('MODEL_NOT_READY')
  )
  const misfit: EngineModel = { ...model, key: 'misfit', input: { ...model.input, size: 9 } }
  await assert.rejects(classify(pool, misfit, [{ bytes, top: 1 }], never), (error: Error) => {
    assert.match(error.message, /9x9x1 in .* received 8x8x1/)
    return true
  })
  const [verdict] = await classify(pool, model, [{ bytes, top: 1 }], never)
  assert.equal(winner(verdict), 1)
  assert.equal(pool.status.crashes, 0)
})

test('only a model that others leave no engine to is said to be crowded out', async (t) => {
  const [busy, model] = await models(t, 2)
  assert.ok(busy && model)
  const pool = engines(t, { processes: 1 })
  const questions = [{ bytes: await flatImage(255), top: 1 }]
  const crowdedOut = async (asked: EngineModel): Promise<boolean> => {
    const error = await pool.ask(asked, questions, { signal: never, deadlineMs: 50 }).then(
      () => assert.fail('it was answered'),
      (error: ServiceError) => error
    )
    assert.equal(error.code, 'MODEL_NOT_READY')
    return error.isCrowdedOut
  }
  const broken = { ...model, key: 'broken', path: `${model.path}.gone` }
  // Without a deadline of its own: the file is to be refused, however long that takes.
  await assert.rejects(pool.ask(broken, questions, { signal: never }), { isCrowdedOut: false })
  await classify(pool, busy, questions, never)
  for (const pid of pool.pids(busy.key)) process.kill(pid, 'SIGSTOP')
  const hanging = classify(pool, busy, questions, never)
  hanging.catch(() => {})
  assert.equal(await crowdedOut(model), true)
  // What is known of its file is not forgotten for want of an engine.
  assert.equal(await crowdedOut(broken), false)
})

test('a model whose engines keep ending is not said to be crowded out', async (t) => {
  const [model] = await models(t)
  assert.ok(model)
  const pool = engines(t, { deadlineMs: 2000 })
  let error: ServiceError | undefined
  // Each time another image: one that has ended two engines is refused without one.
  for (let grey = 0; error === undefined; grey += 1) {
    const questions = [{ bytes: await flatImage(grey), top: 1 }]
    let isSettled = false
    const asked = pool
      .ask(model, questions, { signal: never })
      .catch((thrown) => {
        error = thrown
      })
      .finally(() => {
        isSettled = true
      })
    while (!isSettled) {
      for (const pid of pool.pids(model.key).filter(isAlive)) process.kill(pid, 'SIGKILL')
      await sleep(1)
    }
    await asked
  }
  assert.deepEqual([error?.code, error?.isCrowdedOut], ['MODEL_NOT_READY', false])
})

test('the least recently used model is unloaded by ending its process', async (t) => {
  const loaded = await models(t, 3)
  const pool = engines(t, { processes: 2 })
  const bytes = await flatImage(255)
  const seen: number[] = []
  for (const model of [...loaded, ...loaded]) {
    const [verdict] = await classify(pool, model, [{ bytes, top: 1 }], never)
    assert.equal(winner(verdict), 1)
    seen.push(...pool.pids(model.key))
  }
  await until(() => pool.status.models.length === 2)
  assert.deepEqual(pool.status.models.map(({ key }) => key).sort(), ['model 1', 'model 2'])
  await until(() => seen.filter(isAlive).length === 2)
  assert.equal(pool.status.crashes, 0)
})

test('models that share too few processes are all served', async (t) => {
  const shared = await models(t, 3)
  const pool = engines(t, { perModel: 2, processes: 2, places: 64 })
  const bytes = await flatImage(255)
  const client = async (model: EngineModel) => {
    for (let i = 0; i < 6; i++) {
      const verdicts = await classify(
        pool,
        model,
        [
          { bytes, top: 1 },
          { bytes, top: 1 }
        ],
        never
      )
      assert.deepEqual(verdicts.map(winner), [1, 1])
    }
  }
  await Promise.all(shared.flatMap((model) => [client(model), client(model)]))
})

test('close() refuses what waits and leaves no process', async (t) => {
  const [model] = await models(t)
  assert.ok(model)
  const pool = engines(t)
  const bytes = await flatImage(255)
  await classify(pool, model, [{ bytes, top: 1 }], never)
  const pids = pool.pids(model.key)
  assert.equal(pids.length, 1)
  await pool.close()
  assert.deepEqual(pids.filter(isAlive), [])
  await assert.rejects(classify(pool, model, [{ bytes, top: 1 }], never), refused('SHUTTING_DOWN'))
})

test('engines end with a parent that is killed', async (t) => {
  const [model] = await models(t)
  const parent = fork(fileURLToPath(new URL('../../support/engines-parent.ts', import.meta.url)))
  parent.send(model ?? {})
  const [pids] = (await once(parent, 'message')) as [number[]]
  assert.equal(pids.length, 1)
  assert.deepEqual(pids.filter(isAlive), pids)
  parent.kill('SIGKILL')
  await until(() => pids.filter(isAlive).length === 0)
})

test('a model that is never idle makes room for one that has no engine', async (t) => {
  const [busy, other] = await models(t, 2)
  assert.ok(busy && other)
  const pool = engines(t, { perModel: 1, processes: 1 })
  const bytes = await flatImage(255)
  let isServed = false
  const client = async () => {
    while (!isServed) await classify(pool, busy, [{ bytes, top: 1 }], never)
  }
  await classify(pool, busy, [{ bytes, top: 1 }], never)
  const clients = Promise.all([client(), client(), client()])
  const [verdict] = await classify(pool, other, [{ bytes, top: 1 }], never)
  isServed = true
  assert.ok(verdict && !('code' in verdict))
  await clients
})

test('unload() lets what was asked in the same moment be answered, and leaves no process', async (t) => {
  const [model] = await models(t)
  assert.ok(model)
  const pool = engines(t, { perModel: 1 })
  const bytes = await flatImage(255)
  await classify(pool, model, [{ bytes, top: 1 }], never)
  const pids = pool.pids(model.key)
  const asked = classify(pool, model, [{ bytes, top: 1 }], never)
  await pool.unload(model.serves.model)
  const [verdict] = await asked
  assert.equal(winner(verdict), 1)
  assert.deepEqual(pids.filter(isAlive), [])
  assert.equal(pool.status.models.length, 0)
})
