/** One HTML page that lists every operation. Needs nothing from elsewhere, so it works offline. */
import type { OpenApiDocument, Operation } from './plugins/openapi.ts'

export function docsPage({ info, paths }: OpenApiDocument): string {
  const rows = Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => row(path, method, operation))
  )
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escapeHtml(info.title)} ${escapeHtml(info.version)}</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem }
  table { border-collapse: collapse; width: 100% }
  td { border-top: 1px solid #8884; padding: .4rem .8rem .4rem 0; vertical-align: top }
  code { font-size: .9em }
</style>
<h1>${escapeHtml(info.title)} ${escapeHtml(info.version)}</h1>
<p>${escapeHtml(info.description)} The whole description: <a href="/openapi.json">openapi.json</a>.</p>
<table>
${rows.join('\n')}
</table>
</html>
`
}

const row = (path: string, method: string, { summary = '' }: Operation): string =>
  `<tr><td><code>${method.toUpperCase()}</code><td><code>${escapeHtml(path)}</code><td>${escapeHtml(summary)}`

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;'
}

const escapeHtml = (text: string): string => text.replace(/[&<>"]/g, (c) => entities[c] ?? c)
