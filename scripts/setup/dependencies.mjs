/** The packages of the lockfile, without any install script, and the Node that comes with them. */
import { existsSync, readFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { root, run, SetupError, say, which } from './system.mjs'

/** The first Node that runs TypeScript unbuilt without a flag. */
const leastNode = [22, 18]

/**
 * Installs what the lockfile says unless it is there already.
 *
 * @returns whether anything was installed
 */
export async function installDependencies({ production = false } = {}) {
  if (isInstalled({ production })) return false
  say('installing the packages of package-lock.json (npm ci)')
  const omit = production ? ['--omit=dev'] : ['--include=dev']
  const args = [
    'ci',
    '--ignore-scripts',
    '--include=optional',
    ...omit,
    '--no-audit',
    '--no-fund',
    '--loglevel=error'
  ]
  const [command, before] = npm()
  await run(command, [...before, ...args], { env: withoutOwnNode() }).catch((error) => {
    throw new SetupError(
      `the packages could not be installed: ${error.message}`,
      'Check that the npm registry is reachable (npm ping), then start again'
    )
  })
  return true
}

/** The npm that started us, else the one on PATH. */
function npm() {
  const own = process.env.npm_execpath
  return own?.endsWith('.js') ? [process.execPath, [own]] : ['npm', []]
}

/** `npm ci` removes node_modules/.bin, so npm must not be running on the node that lies there. */
function withoutOwnNode() {
  const path = (process.env.PATH ?? '').split(delimiter)
  const kept = path.filter((folder) => !folder.endsWith(join('node_modules', '.bin')))
  return { ...process.env, PATH: kept.join(delimiter) }
}

/** Compares the lockfile with the one npm leaves in node_modules: a tenth of a second, no network. */
function isInstalled({ production }) {
  const wanted = readPackages(join(root, 'package-lock.json'))
  const present = readPackages(join(root, 'node_modules', '.package-lock.json'))
  if (!wanted || !present) return false
  return Object.entries(wanted).every(([path, { version, integrity, optional, dev }]) => {
    if (path === '' || (production && dev)) return true
    const found = present[path]
    // An optional package may be left out by npm: another platform's.
    if (!found) return optional === true
    if (found.version !== version || found.integrity !== integrity) return false
    return existsSync(join(root, path, 'package.json'))
  })
}

function readPackages(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages
  } catch {
    return null
  }
}

/**
 * Full path of the Node that runs whittle: the one among the packages, else the one at hand.
 *
 * @throws SetupError when neither can run TypeScript
 */
export function findNode() {
  const own = join(root, 'node_modules', '.bin', 'node')
  if (existsSync(own)) return own
  const [major, minor] = process.versions.node.split('.').map(Number)
  const isNewEnough = major > leastNode[0] || (major === leastNode[0] && minor >= leastNode[1])
  if (isNewEnough) return process.execPath
  throw new SetupError(
    `no packaged Node exists for ${process.platform}-${process.arch}, and this one is ${process.version}`,
    `Install Node ${leastNode.join('.')} or newer (https://nodejs.org) and start again`
  )
}

/** Headers of that Node: in its package, or beside the installed one. Null: none without a download. */
export function findHeaders(node) {
  const packaged = join(root, 'node_modules', `node-${process.platform}-${process.arch}`)
  const beside = dirname(dirname(which(node) ?? node))
  return (
    [packaged, beside].find((folder) =>
      existsSync(join(folder, 'include', 'node', 'node_api.h'))
    ) ?? null
  )
}
