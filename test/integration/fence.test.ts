import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** What the linter says of each file, in a copy of the tree's shape that holds nothing else. */
async function lint(
  t: TestContext,
  files: readonly (readonly [file: string, text: string])[]
): Promise<ReadonlyMap<string, string>> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'whittle-fence-')))
  t.after(() => rm(folder, { recursive: true }))
  const config = JSON.parse(await readFile(join(root, 'biome.json'), 'utf8'))
  const plugins = config.plugins.map((plugin: string) => join(root, plugin))
  const copy = { ...config, $schema: undefined, vcs: undefined, plugins }
  await writeFile(join(folder, 'biome.json'), JSON.stringify(copy))
  for (const [file, text] of files) {
    await mkdir(dirname(join(folder, file)), { recursive: true })
    await writeFile(join(folder, file), `${text}\n`)
  }
  const args = ['lint', '--reporter=github', '--max-diagnostics=none', '.']
  const options = { cwd: folder, encoding: 'utf8' } as const
  const { stdout } = spawnSync(join(root, 'node_modules/.bin/biome'), args, options)
  const lines = stdout.split('\n')
  const about = (file: string): string =>
    lines.filter((line) => line.includes(`file=${join(folder, file)},`)).join('\n')
  return new Map(files.map(([file]) => [file, about(file)]))
}

const crosses = /crosses the fence/

const refused: readonly (readonly [file: string, line: string, why: RegExp])[] = [
  ['src/contract/x.ts', "export { x } from '../image/x.ts'", crosses],
  ['src/errors.ts', "export { x } from './http/x.ts'", crosses],
  ['src/tensor/kernels/x.ts', "export { x } from '../../network/x.ts'", crosses],
  ['src/prune/x.ts', "export { x } from '../quantize/x.ts'", crosses],
  ['src/drift/x.ts', "export { x } from '../catalog/x.ts'", crosses],
  ['src/recipe/x.ts', "export { x } from '../train/x.ts'", crosses],
  ['src/infer/x.ts', "import '../tensor/random.ts'", crosses],
  ['src/catalog/x.ts', "export { x } from '../network/x.ts'", crosses],
  ['src/train/x.ts', "export { x } from '../worker/x.ts'", crosses],
  ['src/worker/steps/x.ts', "export { x } from '../../catalog/x.ts'", crosses],
  ['src/http/x.ts', "export { x } from '../tensor/random.ts'", crosses],
  ['src/http/x.ts', "export const x = () => import('../worker/x.ts')", crosses],
  ['src/http/x.ts', "import type { X } from '../train/x.ts'\nexport type Y = X", crosses],
  ['src/network/x.ts', "export { x } from '../tensor/engine.ts'", /needs no engine/],
  ['src/network/x.ts', "export { x } from '@tensorflow/tfjs-core'", /as types only/],
  ['src/train/x.ts', "import { tidy } from '@tensorflow/tfjs-core'\ntidy()", /as types only/],
  ['src/augment/x.ts', "export const x = () => import('@tensorflow/tfjs')", /as types only/],
  ['src/evaluate/x.ts', "export { x } from 'onnxruntime-node'", /runtime\/ only/],
  ['src/http/x.ts', "export { x } from '@opentelemetry/api'", /trace\/ only/],
  ['src/infer/x.ts', "export { x } from '../trace/x.ts'", crosses],
  ['src/train/x.ts', "export { x } from '../config.ts'", /passes each room its part/],
  ['src/train/x.ts', 'export const x = Math.random()', /seeded and counted/],
  ['src/train/x.ts', 'export const x = process.env.X', /noProcessEnv/],
  ['src/train/someThing.ts', 'export const x = 1', /useFilenamingConvention/]
]

test('the linter refuses what crosses the fence', async (t) => {
  const numbered = refused.map(
    ([file, text, why], i) => [numberedName(file, i), text, why] as const
  )
  const said = await lint(
    t,
    numbered.map(([file, text]) => [file, text])
  )
  for (const [file, text, why] of numbered)
    assert.match(said.get(file) ?? '', why, `${file}: ${text}`)
})

const numberedName = (file: string, i: number): string => file.replace(/\/x\.ts$/, `/x${i}.ts`)

test('the linter lets through what the rooms may import', async (t) => {
  const allowed = (
    [
      ['src/http/routes/x.ts', "export { x } from '../../catalog/x.ts'"],
      ['src/http/x.ts', "export type { X } from '../config.ts'"],
      ['src/network/op/x.ts', "export type { Kernels } from '../../tensor/kernels.ts'"],
      ['src/network/x.ts', `import type { T } from '@tensorflow/tfjs-core'\nexport type X = T`],
      ['src/tensor/x.ts', "export { tidy } from '@tensorflow/tfjs-core'"],
      ['src/runtime/x.ts', "export { x } from 'onnxruntime-node'"],
      ['src/recipe/x.ts', "export { x } from '../augment/x.ts'"],
      ['src/worker/x.ts', "export { x } from '../train/x.ts'"],
      ['src/worker/x.ts', "export { x } from '../trace/x.ts'"],
      ['src/trace/x.ts', "export const x = () => import('@opentelemetry/api')"],
      ['src/main/x.ts', 'export const x = process.env.X']
    ] as const
  ).map(([file, text], i) => [numberedName(file, i), text] as const)
  for (const [file, said] of await lint(t, allowed)) assert.equal(said, '', file)
})
