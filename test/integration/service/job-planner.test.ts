import assert from 'node:assert/strict'
import { test } from 'node:test'
import supertest from 'supertest'
import { apiApp, readyDataset } from '../../support/api-app.ts'

test('a job whose dataset is deleted while it is being planned is refused, not accepted for nothing', async (t) => {
  let isAsked = false
  let remove = async (): Promise<void> => {}
  // The planner asks for it once it has found the dataset.
  const space = async () => {
    if (isAsked) await remove()
    return { free: 2 ** 40, size: 2 ** 40 }
  }
  const api = await apiApp(t, {}, {}, { disk: { space } })
  await readyDataset(api)
  remove = async () =>
    void (await supertest(api.app.server).delete('/v1/datasets/digits').expect(204))
  isAsked = true
  const answer = await supertest(api.app.server)
    .post('/v1/jobs')
    .send({ dataset: 'digits', model: 'digits' })
  const detail = 'must be the name or id of a dataset; there is none'
  assert.equal(answer.status, 422, answer.text)
  assert.deepEqual(answer.body.errors, [{ pointer: '/dataset', detail, received: 'digits' }])
  const listed = await supertest(api.app.server).get('/v1/jobs')
  assert.deepEqual(listed.body.items, [])
})
