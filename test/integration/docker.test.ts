/**
 * What no linter sees in the Docker files: that they name files, settings and stages which exist, and
 * that .dockerignore lets through what is copied. No Docker is needed.
 */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'
import { readConfig, Settings } from '../../src/config.ts'
import { readTraceSettings } from '../../src/trace/settings.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const read = (name: string) => readFileSync(join(root, name), 'utf8')
/** Instructions on one line each, without comments. */
const instructions = read('Dockerfile')
  .replace(/^\s*#.*\n/gm, '')
  .replace(/\\\n/g, ' ')
  .split('\n')
const starting = (word: string) => instructions.filter((line) => line.startsWith(`${word} `))

interface Service {
  readonly command: readonly string[]
  readonly build?: { readonly target: string }
  readonly environment?: Readonly<Record<string, string>>
}
const services: Readonly<Record<string, Service>> = parse(read('docker-compose.yml'), {
  merge: true
}).services
const roles = Object.values(services).filter(({ command }) => command[0]?.startsWith('src/'))

test('every file that the Dockerfile copies exists and is let through', () => {
  const lines = read('.dockerignore').split('\n')
  const allowed = lines.filter((line) => line.startsWith('!')).map((line) => line.slice(1))
  const copied = starting('COPY')
    .filter((line) => !line.includes('--from='))
    .flatMap((line) => line.split(/\s+/).slice(1, -1))
    .map((path) => path.replace(/\/$/, ''))
  assert.ok(lines.includes('*') && copied.length > 5)
  for (const path of copied) {
    assert.ok(existsSync(join(root, path)), path)
    assert.ok(allowed.includes(path), `${path} is not in .dockerignore`)
  }
})

test('the image and every service start a role that exists', () => {
  const commands = [...roles.map(({ command }) => command), JSON.parse(word(starting('CMD')[0]))]
  assert.equal(commands.length, 4)
  for (const [file] of commands) assert.ok(existsSync(join(root, file)), file)
})

test('targets that compose builds are stages of the Dockerfile', () => {
  const stages = starting('FROM').map((line) => line.split(' AS ')[1])
  const targets = roles.flatMap(({ build }) => build?.target ?? [])
  assert.deepEqual(targets, ['cpu', 'cuda'])
  for (const target of targets) assert.ok(stages.includes(target), target)
  assert.equal(stages.at(-1), 'cpu', 'what docker build makes without --target')
})

test('the environment of the image and of each service is one that whittle starts with', () => {
  const image = Object.fromEntries(
    starting('ENV').flatMap((line) =>
      [...line.matchAll(/(WHITTLE_\w+)=(\S+)/g)].map(([, name, value]) => [name, value])
    )
  )
  delete image.WHITTLE_SETUP_CACHE // read by set-up, while the image is built
  assert.throws(() => readConfig(image), /WHITTLE_API_KEYS/, 'no open door without keys')
  for (const { environment = {} } of roles) {
    const settings = { ...image, ...environment }
    for (const name of Object.keys(settings)) {
      assert.ok(name in Settings.properties || name.startsWith('OTEL_'), name)
    }
    // Compose fills in ${NAME:?...}, for which any word does here, and leaves ${NAME:-} empty.
    const filled = Object.entries(settings).map(([name, value]) => [
      name,
      String(value)
        .replace(/^\$\{\w+:\?.*\}$/, 'word')
        .replace(/^\$\{\w+:-\}$/, '')
    ])
    assert.equal(readConfig(Object.fromEntries(filled)).workerToken, 'word')
    const traces = readTraceSettings(Object.fromEntries(filled))
    assert.deepEqual(traces, { settings: null, faults: [] })
  }
})

/** What follows the instruction's name. */
function word(line = ''): string {
  return line.slice(line.indexOf(' ') + 1)
}
