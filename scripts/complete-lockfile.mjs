/**
 * Adds what `npm install` leaves out of package-lock.json behind a registry that mirrors in part.
 *
 *   node scripts/complete-lockfile.mjs      after every npm install there
 *
 * Packages with native parts name one optional package per platform. Those that the registry at hand
 * does not hold are missing from the lockfile that npm writes, and `npm ci` then refuses it anywhere.
 * The entries added hold version and platform (read from the name), so other platforms are skipped.
 */
import { readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const systems = ['android', 'darwin', 'freebsd', 'linux', 'openharmony', 'win32']
const processors = ['arm', 'arm64', 'ia32', 'ppc64', 'riscv64', 's390x', 'x64']

/** Optional packages that entries of a lockfile name and the lockfile lacks: `{ path: entry }`. */
export function missingEntries({ packages }) {
  const missing = {}
  for (const [path, { optionalDependencies = {}, dev }] of Object.entries(packages)) {
    for (const [name, range] of Object.entries(optionalDependencies)) {
      const places = [`node_modules/${name}`, `${path}/node_modules/${name}`]
      if (places.some((place) => packages[place])) continue
      missing[places[0]] = describe(name, range.replace(/^[^\d]*/, ''), dev)
    }
  }
  return missing
}

function describe(name, version, dev) {
  const words = name.split(/[-/]/)
  const libc = words.some((word) => word.startsWith('musl')) ? { libc: ['musl'] } : {}
  return {
    version,
    cpu: processors.filter((word) => words.includes(word)),
    ...(dev ? { dev } : {}),
    ...libc,
    optional: true,
    os: systems.filter((word) => words.includes(word))
  }
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const file = fileURLToPath(new URL('../package-lock.json', import.meta.url))
  const lock = JSON.parse(readFileSync(file, 'utf8'))
  const missing = missingEntries(lock)
  const sorted = Object.entries({ ...lock.packages, ...missing }).sort(([a], [b]) =>
    a.localeCompare(b, 'en')
  )
  writeFileSync(
    file,
    `${JSON.stringify({ ...lock, packages: Object.fromEntries(sorted) }, null, 2)}\n`
  )
  process.stdout.write(`${Object.keys(missing).length} entries added\n`)
}
