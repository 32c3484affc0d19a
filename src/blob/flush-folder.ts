/** Makes what happened to the names in a folder durable: fsync(2), a folder needs one of its own. */
import { open } from 'node:fs/promises'

export async function flushFolder(folder: string): Promise<void> {
  const handle = await open(folder)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
