/** Loaded before a process (`--import`): notes every module of TensorFlow.js and of tracing that it loads. */
import { writeFileSync } from 'node:fs'
import { registerHooks } from 'node:module'

const loaded: string[] = []

registerHooks({
  resolve(specifier, context, next) {
    const found = next(specifier, context)
    if (/\/@tensorflow\/|\/@opentelemetry\/(?!api\/)/.test(found.url)) loaded.push(found.url)
    return found
  }
})

process.on('exit', () => writeFileSync(process.env.TENSORFLOW_REPORT ?? '', JSON.stringify(loaded)))
