/** A trainer's scratch folder and assignment to judge the classifier of dark and bright images. */
import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { TestContext } from 'node:test'
import sharp from 'sharp'
import { pack } from 'tar-stream'
import type { EvaluateAssignment } from '../../src/contract/job.ts'
import type { TrainerPaths } from '../../src/contract/trainer.ts'
import { brightClassifier, brightLabels } from './bright-classifier.ts'

/** In another order than the model's. */
const datasetLabels = ['bright', 'dark']

/** Of each class 10 images in the test split, of which 2 `bright` ones are dark; and 2 in train. */
const drawn = [
  ...images('bright', { split: 'test', count: 8, level: 200 }),
  ...images('bright', { split: 'test', count: 2, level: 20 }),
  ...images('dark', { split: 'test', count: 10, level: 40 }),
  ...images('bright', { split: 'train', count: 2, level: 220 }),
  ...images('dark', { split: 'train', count: 2, level: 60 })
] as const

export interface EvaluationBench {
  readonly assignment: EvaluateAssignment
  readonly paths: TrainerPaths
}

export async function evaluationBench(
  t: TestContext,
  task: Partial<EvaluateAssignment['evaluation']> = {}
): Promise<EvaluationBench> {
  const folder = await mkdtemp(join(tmpdir(), 'whittle-evaluation-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const paths = {
    scratch: join(folder, 'scratch'),
    dataset: join(folder, 'dataset'),
    packs: join(folder, 'packs')
  }
  for (const name of ['artifacts', 'models']) {
    await mkdir(join(paths.scratch, name), { recursive: true })
  }
  const hash = await writeDataset(paths.dataset)
  const variants = (['baseline', 'int8'] as const).map((variant) => {
    const bytes = brightClassifier({ variant })
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    return { variant, file: `${variant}.onnx`, sha256, bytes: bytes.length, content: bytes }
  })
  for (const { file, content } of variants) {
    await writeFile(join(paths.scratch, 'models', file), content)
  }
  const network = { inputSize: 8, channels: 1, resize: 'stretch' } as const
  const assignment: EvaluateAssignment = {
    kind: 'evaluate',
    job: 'job_test',
    attempt: 1,
    dataset: { id: 'ds_light', name: 'light', version: 1, hash },
    model: 'light',
    seed: 0,
    evaluation: {
      version: 1,
      split: 'test',
      labels: [...brightLabels],
      network,
      variants: variants.map(({ content: _, ...variant }) => variant),
      ...task
    },
    secondsLeft: null,
    environment: null,
    decisions: [],
    allowance: { memoryBytes: 2 ** 40, diskBytes: 2 ** 40 },
    checkpoints: [],
    artifacts: []
  }
  return { assignment, paths }
}

interface Drawn {
  readonly label: string
  readonly split: 'train' | 'test'
  readonly level: number
}

function images(
  label: string,
  { split, count, level }: { split: Drawn['split']; count: number; level: number }
): Drawn[] {
  return Array.from({ length: count }, (_, i) => ({ label, split, level: level + i }))
}

async function writeDataset(folder: string): Promise<string> {
  await mkdir(folder)
  const tar = pack()
  const written = pipeline(tar, createWriteStream(join(folder, 'images.tar')))
  const rows: object[] = []
  for (const { label, split, level } of drawn) {
    const png = await sharp(Buffer.alloc(64, level), { raw: { width: 8, height: 8, channels: 1 } })
      .png()
      .toBuffer()
    const sha256 = createHash('sha256').update(png).digest('hex')
    tar.entry({ name: sha256 }, png)
    rows.push({ sha256, label: datasetLabels.indexOf(label), split, bytes: png.length })
  }
  tar.finalize()
  await written
  const hash = createHash('sha256').update(JSON.stringify(rows)).digest('hex')
  const named = { id: 'ds_light', name: 'light', version: 1, hash, labels: datasetLabels }
  const header = { ...named, counts: { train: 4, validation: 0, test: 20 } }
  const lines = [header, ...rows].map((line) => `${JSON.stringify(line)}\n`)
  await writeFile(join(folder, 'manifest.jsonl'), lines.join(''))
  return hash
}
