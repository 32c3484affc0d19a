/** Files that are either whole or not there, also after a power cut. */
import { open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Writes aside, flushes, renames, and flushes the folder, without which the new name may be lost. */
export async function writeDurably(file: string, bytes: Uint8Array): Promise<void> {
  const partial = `${file}.partial`
  const handle = await open(partial, 'w')
  try {
    await handle.writeFile(bytes)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(partial, file)
  await flush(dirname(file))
}

/** Moves a finished file; its bytes are on the disk before its new name is, and both when this is done. */
export async function moveDurably(file: string, to: string): Promise<void> {
  await flush(file)
  await rename(file, to)
  await flush(dirname(to))
}

/** Has the disk keep what was written: of a file its bytes, of a folder the names in it. */
export async function flush(path: string): Promise<void> {
  const handle = await open(path, 'r')
  await handle.sync().finally(() => handle.close())
}
