/**
 * Compiles the inner loops of the resampling: `node scripts/wasm.ts`.
 *
 * The result is in the repository, so that running whittle needs no compiler; a test compares the file
 * with what this makes.
 */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const folder = fileURLToPath(new URL('../src/image/wasm/', import.meta.url))
export const wasmFile = `${folder}resample.wasm`

/** Compiles `src/image/wasm/resample.ts` to the file `out`. @throws Error with the compiler's messages. */
export async function compileResample(out: string): Promise<void> {
  const compiler = fileURLToPath(
    new URL('../node_modules/assemblyscript/bin/asc.js', import.meta.url)
  )
  const options = ['-O3', '--enable', 'simd', '--runtime', 'stub', '--importMemory', '--noAssert']
  await promisify(execFile)(process.execPath, [compiler, 'resample.ts', '-o', out, ...options], {
    cwd: folder
  })
}

if (import.meta.main) await compileResample(wasmFile)
