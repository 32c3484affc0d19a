/** A copy of a dataset whose bytes are not those that its manifest and its name promise. */

/** Thrown by whoever reads the copy. Another copy may be whole: nothing is said about the dataset itself. */
export class DamagedDataset extends Error {
  override readonly name = 'DamagedDataset'
}

/** What reading a copy has thrown, as damage; unchanged where the system had another reason to refuse. */
export function asDamage(error: unknown): unknown {
  const { code } = (error ?? {}) as { readonly code?: unknown }
  const isElse = code !== undefined && code !== 'ENOENT' && code !== 'EIO'
  if (isElse || !(error instanceof Error) || error instanceof DamagedDataset) return error
  return new DamagedDataset(`Cannot read the dataset: ${error.message}`, { cause: error })
}
