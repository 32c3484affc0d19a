/** `npm run backup -- FOLDER`: copies the data folder, of a running service too, into a new folder. */
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { readConfig } from '../config.ts'
import { backUp, catalogueFile } from '../service/backup.ts'
import { exitCodes } from './lifecycle.ts'
import { serviceVersion } from './version.ts'

async function run(folder: string | undefined): Promise<number> {
  const dataDir = resolve(readConfig(process.env).dataDir)
  if (folder === undefined) throw new Error('Cannot back up: name a new folder for the backup')
  const to = resolve(folder)
  if (existsSync(to)) throw new Error(`Cannot back up into ${to}: it exists; name a new folder`)
  if (!existsSync(join(dataDir, catalogueFile))) {
    throw new Error(`Cannot back up ${dataDir}: there is no catalogue; set WHITTLE_DATA_DIR`)
  }
  const note = await backUp({ dataDir, to, version: serviceVersion() })
  process.stdout.write(`${to}: ${note.files} files, ${note.bytes} bytes, as of ${note.createdAt}\n`)
  for (const file of note.damaged) {
    process.stderr.write(`${file} is damaged in ${dataDir} and is not in the backup\n`)
  }
  return note.damaged.length === 0 ? exitCodes.done : exitCodes.failed
}

try {
  process.exitCode = await run(process.argv[2])
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`)
  process.exitCode = exitCodes.failed
}
