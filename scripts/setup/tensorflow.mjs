/**
 * The TensorFlow library, taken out of the official Python wheel into a cache beyond node_modules.
 *
 * The wheel comes by pip, whatever Python is installed, and must have the hash in `wheels.mjs`. The
 * cache folder appears whole (extracted under another name, then renamed) or not at all.
 */
import { createHash } from 'node:crypto'
import {
  chmodSync,
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync
} from 'node:fs'
import { rename } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { withLock } from './lock.mjs'
import { provide, run, SetupError, say, succeeds, which } from './system.mjs'
import { tensorflowVersion, wheelsFor } from './wheels.mjs'
import { extract } from './zip.mjs'

export const cacheFolder = join(
  process.env.WHITTLE_SETUP_CACHE ??
    join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'whittle')
)

const libraries = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2']

/**
 * Folder that holds `tensorflow/include`, `tensorflow/lib*.so.2` and, with CUDA, `nvidia/`.
 *
 * @param variant `cpu` or `cuda`
 * @throws SetupError saying what is missing
 */
export async function provideTensorflow(variant) {
  const folder = join(cacheFolder, `tensorflow-${tensorflowVersion}-${variant}`)
  if (isComplete(folder)) return folder
  const wheels = wheelsFor(variant)
  if (wheels === null) {
    const where = `${process.platform}-${process.arch}`
    throw new SetupError(
      `no TensorFlow wheel (${variant}) exists for ${where}`,
      'Use Linux on x64 or arm64'
    )
  }
  return withLock(join(cacheFolder, 'lock'), async () => {
    if (isComplete(folder)) return folder
    mkdirSync(cacheFolder, { recursive: true })
    // With the lock held, these can only be what a killed set-up has left.
    for (const name of readdirSync(cacheFolder).filter((n) => n.startsWith('partial-')))
      rmSync(join(cacheFolder, name), { recursive: true, force: true })
    const partial = mkdtempSync(join(cacheFolder, 'partial-'))
    try {
      for (const wheel of wheels) await addWheel(wheel, partial)
      if (!isComplete(partial)) throw new SetupError('the wheel lacks the library', '')
      // mkdtemp keeps others out, but an image is built as root and run as somebody else.
      chmodSync(partial, 0o755)
      rmSync(folder, { recursive: true, force: true })
      await rename(partial, folder)
    } finally {
      rmSync(partial, { recursive: true, force: true })
    }
    return folder
  })
}

const isComplete = (folder) =>
  [...libraries, 'include'].every((name) => existsSync(join(folder, 'tensorflow', name)))

async function addWheel([name, version, sha256], folder) {
  const downloads = join(folder, 'wheel')
  say(`fetching ${name} ${version} with pip (once; kept in ${cacheFolder})`)
  const [pip, before] = await providePip()
  const args = ['--no-deps', '--only-binary=:all:', '--python-version', '3.12', '--dest', downloads]
  await run(pip, [...before, 'download', '--no-cache-dir', ...args, `${name}==${version}`]).catch(
    (error) => {
      throw new SetupError(
        `${name} ${version} could not be fetched: ${error.message}`,
        `Check that pip reaches its index: ${pip} ${before.join(' ')} download --no-deps ${name}==${version}`
      )
    }
  )
  const file = join(downloads, readdirSync(downloads)[0])
  await checkHash(file, sha256)
  say(`taking the library out of ${name}`)
  await extract(
    file,
    folder,
    (entry) =>
      libraries.some((library) => entry === `tensorflow/${library}`) ||
      entry.startsWith('tensorflow/include/') ||
      /^nvidia\/[a-z0-9_]+\/lib\//.test(entry)
  )
  rmSync(downloads, { recursive: true })
}

async function checkHash(file, expected) {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  const received = hash.digest('hex')
  if (received === expected) return
  throw new SetupError(
    `${file} is not the file that was expected: sha256 ${received} instead of ${expected}`,
    'Find out what alters downloads between here and the package index; until then, npm run setup -- --wasm does without the library',
    { isFinal: true }
  )
}

/** Command and first arguments of a pip that works. */
async function providePip() {
  if (which('python3') && succeeds('python3', ['-m', 'pip', '--version']))
    return ['python3', ['-m', 'pip']]
  return [await provide(['pip3', 'pip'], ['python3-pip'], 'fetches the TensorFlow library'), []]
}
