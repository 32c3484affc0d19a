import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Turns } from '../../../src/service/turns.ts'

test('Turns runs as many at a time as it has places, in order, whatever they throw', async () => {
  const turns = new Turns(2)
  const started: number[] = []
  const ends: (() => void)[] = []
  let [running, most] = [0, 0]
  const work = (i: number) => async () => {
    started.push(i)
    most = Math.max(most, ++running)
    await new Promise<void>((resolve) => ends.push(resolve))
    running--
    if (i % 2 === 0) throw new Error(`${i} failed`)
    return i
  }
  const all = Promise.allSettled([0, 1, 2, 3, 4, 5].map((i) => turns.run(work(i))))
  for (let ended = 0; ended < 6; ) {
    await new Promise((resolve) => setImmediate(resolve))
    assert.ok(running <= 2)
    const end = ends.shift()
    if (end !== undefined) {
      end()
      ended++
    }
  }
  assert.deepEqual(
    (await all).map(({ status }) => status),
    [0, 1, 2].flatMap(() => ['rejected', 'fulfilled'])
  )
  assert.deepEqual(started, [0, 1, 2, 3, 4, 5])
  assert.equal(most, 2)
  assert.equal(await turns.run(async () => 'free again'), 'free again')
})
