/** Writes one artifact of the job, and has the supervisor send it unless the api has the same bytes. */
import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { JobContext } from './job-context.ts'

/** Puts `bytes` under `file` into the attempt's artifacts; returns the path it has here. */
export async function writeArtifact(
  { assignment, paths, channel }: Pick<JobContext, 'assignment' | 'paths' | 'channel'>,
  file: string,
  bytes: Uint8Array | string
): Promise<string> {
  const path = join(paths.scratch, 'artifacts', file)
  await writeFile(path, bytes)
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  const isKept = assignment.artifacts.some((kept) => kept.name === file && kept.sha256 === sha256)
  if (!isKept) await channel.send({ type: 'artifact', file, sha256 })
  return path
}
