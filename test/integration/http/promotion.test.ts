import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { publishVersion } from '../../../src/catalog/publish-version.ts'
import type { Problem } from '../../../src/contract/problem.ts'
import type { AliasState, PromotionAnswer } from '../../../src/contract/promotion.ts'
import { type ApiApp, apiApp } from '../../support/api-app.ts'
import { publication, variantReport } from '../../support/publication.ts'

const production = '/v1/models/digits/aliases/production'

/** Versions 1, 2 and 3, of validation accuracy 0.9, 0.95 and 0.8; production points at the first. */
async function threeVersions(t: TestContext): Promise<ApiApp> {
  const api = await apiApp(t)
  for (const [i, accuracy] of [0.9, 0.95, 0.8].entries()) {
    const wanted = publication(`job_${i}`)
    const variants = Object.fromEntries(
      Object.keys(wanted.report.variants).map((name) => [
        name,
        variantReport(`${name}.onnx`, accuracy)
      ])
    )
    const report = { ...wanted.report, variants }
    await api.db.transaction().execute((trx) => publishVersion(trx, { ...wanted, report }))
  }
  return api
}

const send = (
  { app }: ApiApp,
  payload: object | string,
  { alias = 'production', headers = {} }: { alias?: string; headers?: Record<string, string> } = {}
) =>
  app.inject({
    method: 'POST',
    url: `/v1/models/digits/aliases/${alias}/promote`,
    payload: typeof payload === 'string' ? payload : JSON.stringify(payload),
    headers: { 'content-type': 'application/json', ...headers }
  })

const put = ({ app }: ApiApp, alias: string, payload: object) =>
  app.inject({ method: 'PUT', url: `/v1/models/digits/aliases/${alias}`, payload })

const read = async ({ app }: ApiApp): Promise<AliasState> =>
  (await app.inject(production)).json<AliasState>()

test('a version that passes the gate is promoted, with the figures that were compared', async (t) => {
  const api = await threeVersions(t)
  const gate = { minAccuracy: 0.94, maxAccuracyDrop: 0, maxLatencyRatio: 1, maxSizeBytes: 1000 }
  const answer = await send(api, { version: 2, variant: 'baseline', gate })
  assert.equal(answer.statusCode, 200)
  const { compared, ...alias } = answer.json<PromotionAnswer>()
  assert.deepEqual(alias.targets, [{ version: 2, variant: 'baseline', share: 1 }])
  assert.deepEqual(
    compared.map(({ bound, measured, passed }) => [bound, Number(measured?.toFixed(4)), passed]),
    [
      ['minAccuracy', 0.95, true],
      ['maxAccuracyDrop', -0.05, true],
      ['maxLatencyRatio', 1, true],
      ['maxSizeBytes', 1000, true]
    ]
  )
  const now = await api.app.inject(production)
  assert.deepEqual(now.json(), alias)
  assert.equal(now.headers.etag, answer.headers.etag)
  const [event] = alias.events
  assert.ok(event?.what === 'promoted')
  assert.deepEqual(event.replaced, [{ version: 1, variant: 'int8', share: 1 }])
  assert.deepEqual(event.compared, compared)
})

test('a version that does not pass moves nothing, and is told every bound', async (t) => {
  const api = await threeVersions(t)
  const before = await api.app.inject(production)
  const gate = { minAccuracy: 0.85, maxAccuracyDrop: 0.05, maxLatencyRatio: 1.1, maxSizeBytes: 9 }
  const answer = await send(api, { version: 3, gate })
  const problem = answer.json<Problem>()
  assert.deepEqual([answer.statusCode, problem.code], [409, 'PROMOTION_REFUSED'])
  assert.deepEqual(
    problem.errors?.map(({ pointer, received }) => [pointer, Number(Number(received).toFixed(4))]),
    [
      ['/gate/minAccuracy', 0.8],
      ['/gate/maxAccuracyDrop', 0.1],
      ['/gate/maxSizeBytes', 1000]
    ]
  )
  assert.match(problem.detail, /3 of 4 bounds do not hold; maxLatencyRatio holds, .* 1, 0\.5 ms/)
  const after = await api.app.inject(production)
  assert.deepEqual([after.body, after.headers.etag], [before.body, before.headers.etag])
})

test('a canary is promoted from another alias, or from the share of the same one', async (t) => {
  const api = await threeVersions(t)
  await put(api, 'canary', { version: 3, variant: 'baseline' })
  const fromOther = await send(api, { from: 'canary' })
  assert.deepEqual(fromOther.json<AliasState>().targets, [
    { version: 3, variant: 'baseline', share: 1 }
  ])
  const targets = [
    { version: 1, share: 0.1 },
    { version: 2, share: 0.9 }
  ]
  await put(api, 'production', { targets, rollback: { maxErrorRate: 0.1 } })
  const fromSelf = await send(api, { from: 'production', gate: { maxAccuracyDrop: 0.06 } })
  assert.deepEqual(fromSelf.json<PromotionAnswer>().targets, [
    { version: 1, variant: 'int8', share: 1 }
  ])
  // Compared with the stable target, not with the canary itself.
  assert.equal(fromSelf.json<PromotionAnswer>().compared[0]?.measured?.toFixed(4), '0.0500')
  assert.equal((await read(api)).rollback, null)
})

test('promotion makes an alias that is new, but has nothing to compare it with', async (t) => {
  const api = await threeVersions(t)
  const refused = await send(
    api,
    { version: 2, gate: { maxAccuracyDrop: 1, minAccuracy: 0.9 } },
    { alias: 'stage' }
  )
  assert.equal(refused.statusCode, 409)
  assert.deepEqual(refused.json<Problem>().errors, [
    {
      pointer: '/gate/maxAccuracyDrop',
      detail: 'the alias serves nothing that could be compared',
      received: null
    }
  ])
  const made = await send(api, { version: 2, gate: { minAccuracy: 0.9 } }, { alias: 'stage' })
  assert.equal(made.statusCode, 201)
  assert.equal(made.headers.location, '/v1/models/digits/aliases/stage')
})

test('promotion honours If-Match, and repeats its answer under an idempotency key', async (t) => {
  const api = await threeVersions(t)
  const etag = String((await api.app.inject(production)).headers.etag)
  const stale = await send(api, { version: 2 }, { headers: { 'if-match': '"r0"' } })
  assert.equal(stale.statusCode, 412)
  const headers = { 'if-match': etag, 'idempotency-key': 'once' }
  const first = await send(api, { version: 2 }, { headers })
  const again = await send(api, { version: 2 }, { headers })
  assert.deepEqual([first.statusCode, again.statusCode], [200, 200])
  assert.equal(again.headers['idempotency-replayed'], 'true')
  assert.equal(again.body, first.body)
  assert.equal((await read(api)).events.length, 1)
  const other = await send(api, { version: 3 }, { headers })
  assert.equal(other.json<Problem>().code, 'IDEMPOTENCY_KEY_REUSED')
})

test('a promotion that cannot be meant is refused with a pointer, and moves nothing', async (t) => {
  const api = await threeVersions(t)
  await put(api, 'thirds', {
    targets: [
      { version: 1, share: 0.5 },
      { version: 2, share: 0.25 },
      { version: 3, share: 0.25 }
    ]
  })
  const before = (await api.app.inject(production)).headers.etag
  const cases: readonly (readonly [object | string, number, string | undefined])[] = [
    [{}, 422, ''],
    [{ version: 2, from: 'thirds' }, 422, '/from'],
    [{ from: 'thirds' }, 422, '/from'],
    [{ from: 'none' }, 422, '/from'],
    [{ from: 'Canary!' }, 422, '/from'],
    [{ from: 'production', variant: 'int8' }, 422, '/variant'],
    [{ version: 9 }, 422, '/version'],
    [{ version: 0 }, 422, '/version'],
    [{ version: '2' }, 422, '/version'],
    [{ version: 2, variant: 'pruned' }, 422, '/variant'],
    [{ version: 2, variant: 'gold' }, 422, '/variant'],
    [{ version: 2, gate: null }, 422, '/gate'],
    [{ version: 2, gate: { minAccuracy: 98 } }, 422, '/gate/minAccuracy'],
    [{ version: 2, gate: { maxAccuracyDrop: -0.1 } }, 422, '/gate/maxAccuracyDrop'],
    [{ version: 2, gate: { maxLatencyRatio: 0 } }, 422, '/gate/maxLatencyRatio'],
    [{ version: 2, gate: { maxSizeBytes: 1.5 } }, 422, '/gate/maxSizeBytes'],
    [{ version: 2, gate: { certain: 'yes' } }, 422, '/gate/certain'],
    [{ version: 2, gate: { minF1: 0.9 } }, 422, '/gate/minF1'],
    [{ version: 2, share: 1 }, 422, '/share'],
    ['[]', 422, ''],
    ['{"version":', 400, undefined]
  ]
  for (const [body, status, pointer] of cases) {
    const answer = await send(api, body)
    const { errors } = answer.json<Problem>()
    assert.deepEqual(
      [answer.statusCode, errors?.map((fault) => fault.pointer)],
      [status, pointer === undefined ? undefined : [pointer]],
      `${JSON.stringify(body)}: ${answer.body}`
    )
  }
  const unknown = await api.app.inject({
    method: 'POST',
    url: '/v1/models/none/aliases/production/promote',
    payload: { version: 1 }
  })
  assert.equal(unknown.json<Problem>().code, 'MODEL_NOT_FOUND')
  assert.equal((await api.app.inject(production)).headers.etag, before)
})
