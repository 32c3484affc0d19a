/** Consumes jobs until it is told to close, then exits. Forked by a test. */
import { setTimeout as sleep } from 'node:timers/promises'
import { consumeJobs } from '../../src/queue/consumer.ts'

const consumer = consumeJobs({ redisUrl: process.argv[2] ?? '', run: async () => {} })
process.once('message', async () => {
  await consumer.close()
  process.exit(0)
})
// Long enough to be waiting for a dispatch.
await sleep(100)
process.send?.('consuming')
