import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaults } from '../../scripts/chaos/options.ts'
import { runChaos } from '../../scripts/chaos/run-chaos.ts'

test('chaos, short: nothing accepted is lost, done twice or told wrong', async (t) => {
  const options = { ...defaults, seconds: 40, seed: 7, jobs: 6, gapSeconds: 3, brief: true }
  const { ledger, table, evidence } = await runChaos(options, (line) => t.diagnostic(line))
  t.diagnostic(`\n${table}`)
  assert.equal(ledger.findings.length, 0, evidence)
  assert.ok(ledger.faults.size >= 6, `only ${[...ledger.faults.keys()]} were injected`)
  assert.ok(ledger.predictions > 0 && ledger.aliasMoves > 0)
  assert.ok(ledger.jobs.some(({ seen }) => seen.state === 'completed' && seen.attempt > 1))
})
