/**
 * Writes `openapi.yaml` from the route schemas: `node scripts/openapi.ts`.
 *
 * The api is built but never asked, so it needs nothing that it would need to answer. A test compares
 * the file with what this says.
 */
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { openCatalog } from '../src/catalog/open.ts'
import { type AppDeps, buildApp } from '../src/http/app.ts'
import { describer } from '../src/http/plugins/openapi.ts'
import { serviceVersion } from '../src/main/version.ts'
import { KeyRing } from '../src/service/key-ring.ts'

export const openApiFile = fileURLToPath(new URL('../openapi.yaml', import.meta.url))

/** The OpenAPI document of this source tree, as YAML. */
export async function describeApi(): Promise<string> {
  const db = await openCatalog(':memory:')
  const keys = await KeyRing.open({ db, configured: [], defaults: {} })
  const app = await buildApp({ db, keys } as AppDeps, {
    version: serviceVersion(),
    dataDir: '',
    maxUploadBytes: 1,
    workerToken: null
  })
  const document = describer(app)()
  await app.close()
  await db.destroy()
  return stringify(document, { lineWidth: 100, aliasDuplicateObjects: false })
}

if (import.meta.main) writeFileSync(openApiFile, await describeApi())
