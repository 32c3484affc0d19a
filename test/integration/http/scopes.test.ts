/** Which scope every route of the service needs. A route without a row here fails the test. */
import assert from 'node:assert/strict'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { type TestContext, test } from 'node:test'
import type { FastifyInstance } from 'fastify'
import type { KeyScope } from '../../../src/contract/key.ts'
import { neededScope } from '../../../src/http/plugins/auth.ts'
import { apiApp } from '../../support/api-app.ts'
import { apiKey } from '../../support/keys.ts'

/** Null: `/health` is open, `/internal` has the token of the workers. */
const scopes: Readonly<Record<string, KeyScope | null>> = {
  'GET /health/live': null,
  'GET /health/ready': null,
  'GET /internal/v1/datasets/:id/versions/:version': null,
  'GET /internal/v1/datasets/:id/versions/:version/images': null,
  'GET /internal/v1/jobs/:id/checkpoints/:name': null,
  'GET /internal/v1/jobs/:id/models/:name': null,
  'POST /internal/v1/jobs/:id/attempts': null,
  'POST /internal/v1/jobs/:id/events': null,
  'POST /internal/v1/jobs/:id/heartbeat': null,
  'POST /internal/v1/jobs/:id/latency': null,
  'POST /internal/v1/jobs/:id/outcome': null,
  'PUT /internal/v1/jobs/:id/artifacts/:name': null,
  'PUT /internal/v1/jobs/:id/checkpoints/:name': null,
  'DELETE /internal/v1/workers/:id': null,
  'PUT /internal/v1/workers/:id': null,
  'GET /docs': 'predict',
  'GET /metrics': 'predict',
  'GET /openapi.json': 'predict',
  'GET /problems/:code': 'predict',
  'GET /v1/engine': 'predict',
  'GET /v1/models': 'predict',
  'GET /v1/models/:name': 'predict',
  'GET /v1/models/:name/drift': 'predict',
  'GET /v1/models/:name/accuracy': 'predict',
  'GET /v1/models/:name/feedback': 'predict',
  'POST /v1/models/:name/feedback': 'predict',
  'GET /v1/models/:name/aliases/:alias': 'predict',
  'GET /v1/models/:name/versions/:version': 'predict',
  'GET /v1/models/:name/versions/:version/artifacts/:file': 'predict',
  'GET /v1/models/:name/versions/:version/evaluations': 'predict',
  'POST /v1/models/:name/explanations': 'predict',
  'POST /v1/models/:name/predictions': 'predict',
  'GET /v2': 'predict',
  'GET /v2/health/live': null,
  'GET /v2/health/ready': null,
  'GET /v2/models/:name': 'predict',
  'GET /v2/models/:name/config': 'predict',
  'GET /v2/models/:name/ready': 'predict',
  'GET /v2/models/:name/stats': 'predict',
  'GET /v2/models/:name/versions/:version': 'predict',
  'GET /v2/models/:name/versions/:version/config': 'predict',
  'GET /v2/models/:name/versions/:version/ready': 'predict',
  'GET /v2/models/:name/versions/:version/stats': 'predict',
  'GET /v2/models/stats': 'predict',
  'POST /v2/models/:name/infer': 'predict',
  'POST /v2/models/:name/versions/:version/infer': 'predict',
  'POST /v2/repository/index': 'predict',
  'POST /v2/repository/models/:name/load': 'admin',
  'POST /v2/repository/models/:name/unload': 'admin',
  'DELETE /v1/datasets/:id': 'train',
  'DELETE /v1/datasets/:id/images/:imageId': 'train',
  'DELETE /v1/jobs/:id': 'train',
  'GET /v1/datasets': 'train',
  'GET /v1/datasets/:id': 'train',
  'GET /v1/datasets/:id/images': 'train',
  'GET /v1/datasets/:id/images/:imageId': 'train',
  'GET /v1/datasets/:id/versions': 'train',
  'GET /v1/jobs': 'train',
  'GET /v1/jobs/:id': 'train',
  'GET /v1/jobs/:id/deliveries': 'train',
  'GET /v1/jobs/:id/events': 'train',
  'GET /v1/jobs/:id/logs': 'train',
  'GET /v1/jobs/:id/metrics': 'train',
  'GET /v1/storage': 'train',
  'PATCH /v1/datasets/:id/images/:imageId': 'train',
  'POST /v1/datasets': 'train',
  'POST /v1/datasets/:id/images': 'train',
  'POST /v1/jobs': 'train',
  'POST /v1/jobs/:id/cancel': 'train',
  'POST /v1/jobs/:id/deliveries/:delivery/redeliver': 'train',
  'POST /v1/jobs/:id/stop': 'train',
  'POST /v1/models/:name/versions': 'train',
  'POST /v1/models/:name/versions/:version/evaluations': 'train',
  'POST /v1/models/:name/aliases/:alias/promote': 'train',
  'PUT /v1/models/:name/aliases/:alias': 'train',
  'DELETE /v1/keys/:id': 'admin',
  'DELETE /v1/models/:name': 'admin',
  'DELETE /v1/models/:name/aliases/:alias': 'admin',
  'DELETE /v1/models/:name/versions/:version': 'admin',
  'GET /v1/keys': 'admin',
  'GET /v1/keys/:id': 'admin',
  'GET /v1/workers': 'admin',
  'PATCH /v1/keys/:id': 'admin',
  'POST /v1/keys': 'admin',
  'POST /v1/workers/:id/drain': 'admin',
  'POST /v1/workers/:id/resume': 'admin'
}

test('every route has a scope that somebody chose', async (t) => {
  const { routes } = await withRoutes(t)
  assert.deepEqual([...new Set(routes.map(nameOf))].sort(), Object.keys(scopes).sort())
  for (const route of routes) assert.equal(neededScope(route), scopes[nameOf(route)], nameOf(route))
})

test('without a key, every route but health answers 401', async (t) => {
  const { app, routes } = await withRoutes(t)
  for (const [index, route] of routes.entries()) {
    const { method, url } = route
    const remoteAddress = `10.0.0.${index}`
    const { statusCode } = await app.inject({ method, url, remoteAddress })
    assert.equal(
      statusCode === 401,
      !/^(\/v2)?\/health\//.test(url),
      `${nameOf(route)} ${statusCode}`
    )
  }
})

interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly url: string
}

const nameOf = ({ method, url }: Route): string => `${method} ${url.replace(/\/$/, '')}`

/** An app that asks for keys, and its routes as they were added, hidden ones too. HEAD is where GET is. */
async function withRoutes(t: TestContext) {
  const routes: Route[] = []
  const listen = (message: unknown) => {
    const { fastify } = message as { readonly fastify: FastifyInstance }
    fastify.addHook('onRoute', ({ method, url }) => {
      for (const name of [method].flat()) {
        if (name !== 'HEAD') routes.push({ method: name as Route['method'], url })
      }
    })
  }
  subscribe('fastify.initialization', listen)
  try {
    return { ...(await apiApp(t, { apiKeys: [apiKey('secret', 'admin')] })), routes }
  } finally {
    unsubscribe('fastify.initialization', listen)
  }
}
