/** Faults of callers: uploads that break off, requests that come twice, minds that change. */
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from '../../src/tensor/random.ts'
import { mayPost, order, postJob, type Run, uploadDataset } from './actions.ts'
import { type Act, kill } from './process-faults.ts'

/** Sends half of an upload and hangs up; the same upload then comes whole, under the same key. */
export const breakOffUpload: Act = async (run, draws) => {
  const share = draws.between(0.1, 0.9)
  const { name } = await uploadDataset(run, async ({ form, key = '' }) => {
    if (form === undefined) return
    const request = new Request(`${run.client.url}/v1/datasets`, { method: 'POST', body: form() })
    const bytes = Buffer.from(await request.arrayBuffer())
    const head = [
      'POST /v1/datasets HTTP/1.1',
      `Host: ${new URL(request.url).host}`,
      `Content-Type: ${request.headers.get('content-type')}`,
      `Content-Length: ${bytes.length}`,
      `Idempotency-Key: ${key}`
    ]
    const socket = connect(Number(new URL(request.url).port), '127.0.0.1')
    // The api may be away by another fault; then there is nothing to break off.
    socket.on('error', () => {})
    const closed = new Promise((resolve) => socket.once('close', resolve))
    socket.write(`${head.join('\r\n')}\r\n\r\n`)
    socket.write(bytes.subarray(0, Math.floor(bytes.length * share)))
    await sleep(100)
    socket.destroy()
    await closed
  })
  return `${name} after ${Math.round(share * 100)} %, then whole`
}

export const postTwice: Act = async (run) => {
  if (!mayPost(run)) return undefined
  const { model } = await postJob(run, { meanwhile: async () => {} })
  return `${model} under one key`
}

/** The api dies with the first try under way: before, while or after it has stored the job. */
export const postAcrossKill: Act = async (run, draws) => {
  if (!mayPost(run)) return undefined
  const delayMs = draws.between(0, 40)
  let killed: string | undefined
  const { model } = await postJob(run, {
    meanwhile: async () => {
      await sleep(delayMs)
      killed = await kill('api')(run, draws)
    }
  })
  return `${model}, ${killed ?? 'no api'} killed after ${delayMs.toFixed(0)} ms`
}

export const giveUp =
  (asked: 'cancel' | 'stop'): Act =>
  async (run: Run, draws: Random) => {
    const open = run.ledger.openJobs.filter((job) => job.asked === null)
    const job = open[Math.floor(draws.uniform() * open.length)]
    return job && order(run, job, asked)
  }
