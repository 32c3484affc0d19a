/** `npm run restore -- FOLDER`: brings a backup back into the (empty) data folder. */
import { join, resolve } from 'node:path'
import { readConfig } from '../config.ts'
import { restore } from '../service/restore.ts'
import { lockDataDir } from './data-lock.ts'
import { exitCodes } from './lifecycle.ts'

async function run(folder: string | undefined): Promise<void> {
  const dataDir = resolve(readConfig(process.env).dataDir)
  if (folder === undefined) throw new Error('Cannot restore: name the folder of a backup')
  const who = 'npm run restore'
  // The first is what `npm start` takes, the second what an api on its own takes.
  const locks = [lockDataDir(dataDir, who), lockDataDir(join(dataDir, 'catalog'), who)]
  try {
    const restored = await restore({ from: resolve(folder), dataDir })
    const { files, bytes, createdAt, damaged } = restored
    process.stdout.write(`${dataDir}: ${files} files, ${bytes} bytes, as of ${createdAt}\n`)
    for (const file of damaged) process.stderr.write(`${file} was damaged before the backup\n`)
  } finally {
    for (const unlock of locks) unlock()
  }
}

try {
  await run(process.argv[2])
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`)
  process.exitCode = exitCodes.failed
}
