/**
 * The native binding of @tensorflow/tfjs-node-gpu, compiled here against the cached TensorFlow library.
 *
 * node-gyp uses the headers inside the packaged Node, so nothing is downloaded. The binding is
 * Node-API and knows the library by its SONAME only: the CPU and the CUDA library are exchanged by
 * exchanging links, without another compilation.
 */
import { existsSync, mkdirSync, readlinkSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { findHeaders } from './dependencies.mjs'
import { provide, root, run, SetupError, say } from './system.mjs'

export const packageFolder = join(root, 'node_modules', '@tensorflow', 'tfjs-node-gpu')
const addon = join(packageFolder, 'lib', 'napi-v8', 'tfjs_binding.node')

/** Links the library into the package and compiles the binding. Returns whether anything was done. */
export async function provideBinding(library, node) {
  const links = {
    include: join(library, 'tensorflow', 'include'),
    'lib/libtensorflow_cc.so.2': join(library, 'tensorflow', 'libtensorflow_cc.so.2'),
    'lib/libtensorflow_framework.so.2': join(library, 'tensorflow', 'libtensorflow_framework.so.2'),
    'lib/libtensorflow.so': 'libtensorflow_cc.so.2',
    'lib/libtensorflow_framework.so': 'libtensorflow_framework.so.2',
    // The RUNPATH of the CUDA build looks for NVIDIA's libraries here.
    nvidia: join(library, 'nvidia')
  }
  const changed = Object.entries(links).filter(([name, target]) => !isLinkTo(name, target))
  for (const [name, target] of changed) link(name, target)
  if (isBuilt()) return changed.length > 0
  await build(node)
  return true
}

const linkFile = (name) => join(packageFolder, 'deps', name)

function isLinkTo(name, target) {
  try {
    return readlinkSync(linkFile(name)) === target
  } catch {
    return name === 'nvidia' && !existsSync(target)
  }
}

function link(name, target) {
  rmSync(linkFile(name), { recursive: true, force: true })
  if (name === 'nvidia' && !existsSync(target)) return
  mkdirSync(dirname(linkFile(name)), { recursive: true })
  symlinkSync(target, linkFile(name))
}

const isBuilt = () => existsSync(addon) && statSync(addon).size > 0

async function build(node) {
  const headers = findHeaders(node)
  if (headers === null) {
    throw new SetupError(
      `the C++ headers of ${node} are missing`,
      'Install Node with its headers (the official archive holds them)'
    )
  }
  await provide(['python3'], ['python3'], 'node-gyp is written in it')
  await provide(['g++', 'c++', 'clang++'], ['g++'], 'compiles the TensorFlow binding')
  await provide(['make', 'gmake'], ['make'], 'compiles the TensorFlow binding')
  say('compiling the TensorFlow binding (about 15 seconds)')
  const gyp = join(root, 'node_modules', 'node-gyp', 'bin', 'node-gyp.js')
  const where = `--module_path=${dirname(addon)}`
  const versions = ['--napi_version=9', '--napi_build_version=8']
  const names = [`--module=${addon}`, '--module_name=tfjs_binding', where, ...versions]
  const args = [gyp, 'rebuild', '--loglevel=warn', `--nodedir=${headers}`, ...names]
  await run(node, args, { cwd: packageFolder }).catch((error) => {
    throw new SetupError(
      `the TensorFlow binding could not be compiled: ${error.message}`,
      'The compiler says above what is missing'
    )
  })
  rmSync(join(packageFolder, 'build'), { recursive: true, force: true })
}
