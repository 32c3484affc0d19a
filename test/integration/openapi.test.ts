import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parse } from 'yaml'
import { describeApi, openApiFile } from '../../scripts/openapi.ts'

test('openapi.yaml says what the routes say (node scripts/openapi.ts writes it)', async () => {
  assert.equal(readFileSync(openApiFile, 'utf8'), await describeApi())
})

test('every operation of openapi.yaml has a name of its own, a summary and a tag', async () => {
  const { paths, components } = parse(await describeApi())
  const operations = Object.values(paths as object).flatMap((path) => Object.values(path as object))
  const names = operations.map(({ operationId }) => operationId)
  assert.ok(names.length > 20)
  assert.equal(new Set(names).size, names.length)
  for (const { operationId, summary, tags } of operations) {
    assert.ok(operationId && summary && tags?.length > 0, `${operationId} lacks something`)
  }
  const text = JSON.stringify(paths)
  const used = [...text.matchAll(/#\/components\/schemas\/(\w+)/g)].map(([, name]) => name)
  assert.deepEqual(
    [...new Set(used)].filter((name) => !components.schemas[name as string]),
    []
  )
  assert.ok(['Job', 'JobSpec', 'Problem'].every((name) => used.includes(name)))
})
