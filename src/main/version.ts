/** The service's version, said once: in package.json. */
import { readFileSync } from 'node:fs'

export function serviceVersion(): string {
  const file = new URL('../../package.json', import.meta.url)
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}
