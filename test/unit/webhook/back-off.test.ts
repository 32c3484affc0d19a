import assert from 'node:assert/strict'
import { test } from 'node:test'
import { retryDelayMs } from '../../../src/webhook/back-off.ts'

function waits(id: string): number[] {
  const found: number[] = []
  for (let tries = 1; ; tries += 1) {
    const delay = retryDelayMs(id, tries)
    if (delay === null) return found
    found.push(delay)
  }
}

test('retryDelayMs() spreads eleven tries over about a day, further and further apart', () => {
  const hours = 3_600_000
  for (const id of ['msg_a', 'msg_b', 'msg_c', 'msg_d']) {
    const all = waits(id)
    assert.equal(all.length, 10)
    const total = all.reduce((sum, wait) => sum + wait, 0)
    assert.ok(total > 0.9 * 23.7 * hours && total < 1.1 * 23.8 * hours, `${total / hours}`)
    for (const [i, wait] of all.slice(1, -1).entries()) assert.ok(wait > (all[i] ?? 0))
    assert.ok((all[0] ?? 0) >= 4500 && (all[0] ?? 0) <= 5500)
  }
})

test('retryDelayMs() differs between messages and never for one', () => {
  assert.deepEqual(waits('msg_a'), waits('msg_a'))
  const first = new Set(Array.from({ length: 50 }, (_, i) => retryDelayMs(`msg_${i}`, 1)))
  assert.ok(first.size > 25)
})
