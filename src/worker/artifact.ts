/** Writes one artifact of the job and has the supervisor send it to the api. */
import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { JobContext } from './job-context.ts'

/** Puts `bytes` under `file` into the attempt's artifacts; returns the path it has here. */
export async function writeArtifact(
  { paths, channel }: JobContext,
  file: string,
  bytes: Uint8Array | string
): Promise<string> {
  const path = join(paths.scratch, 'artifacts', file)
  await writeFile(path, bytes)
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  await channel.send({ type: 'artifact', file, sha256 })
  return path
}
