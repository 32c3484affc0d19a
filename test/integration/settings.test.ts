import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parseEnv } from 'node:util'
import { envExample, envFile, readmeFile, withSettings } from '../../scripts/settings.ts'
import { readConfig, Settings } from '../../src/config.ts'

const advice = 'run: npm run settings'

test('.env.example is the one that the schema gives', () => {
  assert.equal(readFileSync(envFile, 'utf8'), envExample(), advice)
})

test('.env.example without its comment signs is the defaults', () => {
  const env = parseEnv(envExample().replaceAll(/^# (?=[A-Z_]+=)/gm, '')) as Record<string, string>
  assert.deepEqual(Object.keys(env).sort(), Object.keys(Settings.properties).sort())
  assert.deepEqual(readConfig(env), readConfig({}))
})

test('the README has the table of settings that the schema gives', () => {
  const readme = readFileSync(readmeFile, 'utf8')
  assert.equal(readme, withSettings(readme), advice)
})

test('withSettings() refuses a README without a place for the table', () => {
  assert.throws(() => withSettings('# whittle'), /<!-- settings -->/)
  const twice = '<!-- settings --><!-- /settings -->'.repeat(2)
  assert.throws(() => withSettings(twice), /once each/)
})
