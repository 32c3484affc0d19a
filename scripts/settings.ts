/**
 * Writes `.env.example` and the table of settings in README.md from the schema: `npm run settings`.
 *
 * A test compares both with what this says.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expectation, Settings } from '../src/config.ts'

const file = (name: string): string => fileURLToPath(new URL(`../${name}`, import.meta.url))
export const envFile = file('.env.example')
export const readmeFile = file('README.md')

interface Row {
  readonly name: string
  readonly default: unknown
  readonly description: string
  readonly values: string
}

const rows: readonly Row[] = Object.entries(Settings.properties).map(([name, schema]) => ({
  name,
  values: expectation(schema),
  ...(schema as object as { default: unknown; description: string })
}))

/** Every variable with its default, commented out, under what it means. */
export function envExample(): string {
  const entries = rows.map((row) => {
    const text = row.description.replaceAll('`', '')
    const values = row.values.startsWith('a text') ? '' : `\n# ${row.values}`
    return `# ${text}${values}\n# ${row.name}=${row.default}\n`
  })
  const head =
    '# Copied to .env, it is read by npm start, npm run api, npm run worker and docker compose.\n'
  return [head, ...entries].join('\n')
}

/** A README whose table of settings, between its two markers, is the schema's. */
export function withSettings(readme: string): string {
  const [start, end] = ['<!-- settings -->', '<!-- /settings -->']
  const [before, rest, ...more] = readme.split(start)
  const after = rest?.split(end)[1]
  if (after === undefined || more.length > 0) {
    throw new Error(`README.md needs ${start} and ${end}, once each`)
  }
  return `${before}${start}\n\n${table()}\n\n${end}${after}`
}

function table(): string {
  const cells = rows.map((row) => [
    `\`${row.name}\``,
    row.default === '' ? '' : `\`${row.default}\``,
    row.description
  ])
  return [['variable', 'default', 'meaning'], ['---', '---', '---'], ...cells]
    .map((line) => `| ${line.join(' | ')} |`)
    .join('\n')
}

if (import.meta.main) {
  writeFileSync(envFile, envExample())
  writeFileSync(readmeFile, withSettings(readFileSync(readmeFile, 'utf8')))
}
