/**
 * The training engine: the best one that can be had here, and a plain word about what was not.
 *
 * In this order: TensorFlow with CUDA (where a GPU answers, or by flag), TensorFlow on the CPU, the
 * old library that the package downloads itself, wasm. Each failure says the next thing to try.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { packageFolder, provideBinding } from './binding.mjs'
import { root, run, SetupError, say, succeeds } from './system.mjs'
import { provideTensorflow } from './tensorflow.mjs'
import { tensorflowVersion } from './wheels.mjs'

/** Beside the packages: a fresh `npm ci` takes the binding away, and this with it. */
const stampFile = join(root, 'node_modules', '.whittle-engine.json')
/** A choice made by flag holds until another one is made. */
const choiceFile = join(root, '.cache', 'engine-choice')
export const engineChoices = ['auto', 'cuda', 'cpu', 'wasm']

/**
 * @param choice a flag's choice, or null to keep the one made before (`auto` at first)
 * @param retry whether to try again what failed before with nothing changed
 * @returns what was set up: `{ engine, source, complaint? }`
 */
export async function provideEngine({ node, choice, retry }) {
  const wanted = rememberChoice(choice)
  const variant = wanted === 'auto' ? (hasGpu() ? 'cuda' : 'cpu') : wanted
  const before = readJson(stampFile)
  if (before?.variant === variant && !(retry && before.complaint) && isWhole(before)) return before
  const stamp = { variant, ...(await firstThatWorks(attemptsFor(variant, node, before))) }
  writeFileSync(stampFile, `${JSON.stringify(stamp)}\n`)
  return stamp
}

function rememberChoice(choice) {
  if (choice === null) return readText(choiceFile)?.trim() ?? 'auto'
  mkdirSync(dirname(choiceFile), { recursive: true })
  writeFileSync(choiceFile, `${choice}\n`)
  return choice
}

const hasGpu = () => process.arch === 'x64' && succeeds('nvidia-smi', ['-L'])

/** Whether what an earlier set-up made is still there; the cache may have been emptied meanwhile. */
const isWhole = ({ engine }) =>
  engine === 'wasm' ||
  (existsSync(join(packageFolder, 'lib', 'napi-v8', 'tfjs_binding.node')) &&
    existsSync(join(packageFolder, 'deps', 'lib', 'libtensorflow.so')))

function attemptsFor(variant, node, before) {
  const wheel = (kind) => ({
    engine: 'tensorflow',
    source: `TensorFlow ${tensorflowVersion}, ${kind === 'cuda' ? 'CUDA' : 'CPU'}`,
    make: async () => {
      const library = await provideTensorflow(kind)
      if (before?.source === ownDownload) rmSync(join(packageFolder, 'lib'), { recursive: true })
      await provideBinding(library, node)
      await check(node)
    }
  })
  const own = {
    engine: 'tensorflow',
    source: ownDownload,
    make: async () => {
      say('trying the library that the package downloads itself')
      const install = [join(packageFolder, 'scripts', 'install.js'), 'cpu', 'download']
      await run(node, install, { cwd: packageFolder })
      await check(node)
    }
  }
  const wasm = { engine: 'wasm', source: 'wasm', make: async () => {} }
  if (variant === 'wasm') return [wasm]
  return [...(variant === 'cuda' ? [wheel('cuda')] : []), wheel('cpu'), own, wasm]
}

const ownDownload = 'TensorFlow of the package'

async function firstThatWorks(attempts) {
  const complaints = []
  for (const { engine, source, make } of attempts) {
    try {
      await make()
      if (complaints.length === 0) return { engine, source }
      return { engine, source, complaint: complaints.join(' ') }
    } catch (error) {
      if (error.isFinal) throw error
      const advice = error instanceof SetupError && error.advice ? ` ${error.advice}.` : ''
      complaints.push(`${source}: ${error.message}.${advice}`)
      say(`${source} is not to be had: ${error.message}`)
      if (advice) say(`  next thing to try:${advice}`)
    }
  }
  throw new Error('wasm needs nothing, so this is never reached')
}

/** Loads the binding in the Node that will use it and multiplies two matrices. */
async function check(node) {
  const script = join(root, 'scripts', 'setup', 'check-engine.cjs')
  await run(node, [script], { env: { ...process.env, TF_CPP_MIN_LOG_LEVEL: '2' } }).catch(
    (error) => {
      throw new SetupError(
        `the TensorFlow binding does not load: ${error.message}`,
        'The lines above say why; remove node_modules and start again if packages were changed by hand'
      )
    }
  )
}

function readText(file) {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return null
  }
}

function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return null
  }
}
