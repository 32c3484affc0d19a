import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Decision } from '../../../src/contract/job.ts'
import type { FromTrainer } from '../../../src/contract/trainer.ts'
import { Decisions } from '../../../src/worker/decisions.ts'
import { TrainerChannel } from '../../../src/worker/trainer-channel.ts'

/** A channel whose other end stores decisions, unless it is told something else to do. */
function connected(onDecision?: (channel: TrainerChannel) => void) {
  const sent: Decision[] = []
  const channel = new TrainerChannel(async (message: FromTrainer) => {
    if (message.type !== 'decision') return
    sent.push(message.decision)
    if (onDecision !== undefined) onDecision(channel)
    else channel.receive({ type: 'decision-stored', stage: message.decision.stage })
  })
  return { channel, sent }
}

const order = (order: 'stop' | 'cancel' | 'checkpoint') => ({ type: 'order', order }) as const

test('control() decides a stop once, where it is wanted, with its reason', async () => {
  const { channel, sent } = connected()
  const decisions = new Decisions([], channel)
  assert.equal(await decisions.control('train', 6), 'continue')
  assert.equal(decisions.reason('train'), null)
  channel.receive(order('stop'))
  assert.equal(await decisions.control('train', 7), 'stop')
  assert.equal(await decisions.control('train', 8), 'stop')
  assert.deepEqual(sent, [{ stage: 'train', reason: 'stopped', updates: 7 }])
  assert.equal(decisions.reason('train'), 'stopped')
})

test('control() takes a passed limit for a stop', async () => {
  const { channel, sent } = connected()
  channel.limit(0)
  assert.equal(await new Decisions([], channel).control('prune', 0), 'stop')
  assert.deepEqual(sent, [{ stage: 'prune', reason: 'limit', updates: 0 }])
})

test('control() repeats what was decided: not earlier, not later, whatever is wanted now', async () => {
  const { channel, sent } = connected()
  channel.limit(0)
  channel.receive(order('stop'))
  const decisions = new Decisions([{ stage: 'train', reason: 'limit', updates: 5 }], channel)
  assert.equal(decisions.reason('train'), 'limit')
  assert.equal(await decisions.control('train', 4), 'continue')
  assert.equal(await decisions.control('train', 5), 'stop')
  assert.deepEqual(sent, [])
})

test('control() does not act on what is not stored when an order to end comes first', async () => {
  for (const ending of ['cancel', 'checkpoint'] as const) {
    const { channel } = connected((end) => end.receive(order(ending)))
    const decisions = new Decisions([], channel)
    channel.receive(order('stop'))
    assert.equal(await decisions.control('train', 3), ending)
    assert.equal(decisions.reason('train'), null)
  }
})

test('a cancel outranks a checkpoint, whichever comes first, and both outrank a stop', async () => {
  const { channel, sent } = connected()
  const decisions = new Decisions([], channel)
  channel.receive(order('stop'))
  channel.receive(order('checkpoint'))
  assert.equal(await decisions.control('train', 1), 'checkpoint')
  channel.receive(order('cancel'))
  channel.receive(order('checkpoint'))
  assert.equal(await decisions.control('train', 1), 'cancel')
  assert.deepEqual(sent, [])
})
