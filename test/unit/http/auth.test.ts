import assert from 'node:assert/strict'
import { test } from 'node:test'
import { neededScope } from '../../../src/http/plugins/auth.ts'

test('neededScope() opens health, and asks most where things are removed', () => {
  const rows = [
    ['GET', '/health/ready', null],
    ['POST', '/internal/v1/jobs/:id/attempts', null],
    ['GET', '/v1/models', 'predict'],
    ['GET', '/v1/models/:name/versions/:version/artifacts/:file', 'predict'],
    ['POST', '/v1/models/:name/predictions', 'predict'],
    ['PUT', '/v1/models/:name/aliases/:alias', 'train'],
    ['DELETE', '/v1/models/:name/versions/:version', 'admin'],
    ['POST', '/v1/datasets', 'train'],
    ['GET', '/v1/jobs', 'train'],
    ['GET', '/v1/engine/', 'predict'],
    ['GET', '/problems/:code', 'predict'],
    ['GET', '/v1/keys/', 'admin'],
    ['POST', '/v1/keysmith', 'train'],
    ['GET', undefined, 'train']
  ] as const
  for (const [method, url, scope] of rows) {
    assert.equal(neededScope({ method, url }), scope, `${method} ${url}`)
  }
})
