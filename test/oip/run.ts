/** Holds a server against the Open Inference Protocol: `node test/oip/run.ts URL MODEL`. */
import { checks, target } from './conformance.ts'

const [url, model] = process.argv.slice(2)
if (url === undefined || model === undefined) {
  process.stderr.write('node test/oip/run.ts http://127.0.0.1:8000 digits\n')
  process.exit(1)
}

const asked = await target(url.replace(/\/$/, ''), model)
let failed = 0
for (const { name, extension, run } of checks) {
  if (extension !== undefined && !asked.extensions.includes(extension)) {
    process.stdout.write(`  -  ${name} (${extension} is not listed)\n`)
    continue
  }
  try {
    await run(asked)
    process.stdout.write(`  ok ${name}\n`)
  } catch (error) {
    failed += 1
    process.stdout.write(`FAIL ${name}: ${(error as Error).message}\n`)
  }
}
process.exitCode = failed === 0 ? 0 : 1
