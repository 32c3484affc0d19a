/**
 * Everything that whittle needs, from a fresh clone on: packages, training engine, Redis server.
 *
 *   node scripts/setup.mjs [--auto | --cuda | --cpu | --wasm] [--production] [--no-engine] [--no-redis]
 *
 * Does only what is missing, so that a second run takes a moment; safe to run twice at once. Run by
 * hand, it also tries again what failed before.
 */
import { realpathSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { findNode, installDependencies } from './setup/dependencies.mjs'
import { engineChoices, provideEngine } from './setup/engine.mjs'
import { withLock } from './setup/lock.mjs'
import { provideRedis } from './setup/redis.mjs'
import { root, SetupError, say } from './setup/system.mjs'

/**
 * @param options.choice engine asked for by flag, or null
 * @param options.engine, options.redis whether these are needed
 * @returns full path of the Node that runs the rest
 */
export function setUp({
  choice = null,
  production = false,
  engine = true,
  redis = true,
  retry = false
} = {}) {
  return withLock(join(root, '.cache', 'setup.lock'), async () => {
    await installDependencies({ production })
    const node = findNode()
    const parts = []
    if (engine) parts.push(describe(await provideEngine({ node, choice, retry })))
    if (redis) parts.push(await provideRedis())
    say(`ready${parts.length > 0 ? ` (${parts.join('; ')})` : ''}`)
    return node
  })
}

function describe({ engine, source, complaint }) {
  if (complaint) {
    const slow = engine === 'wasm' ? ': training is seven to nine times slower' : ''
    say(`WARNING: the engine is ${source}${slow}. ${complaint}`)
    say('WARNING: npm run setup tries again')
  }
  return engine === 'wasm' ? 'wasm engine' : source
}

/** Prints a set-up failure as a sentence with advice, anything else as what it is. Returns exit code 1. */
export function report(error) {
  if (!(error instanceof SetupError)) process.stderr.write(`${error.stack}\n`)
  else {
    say(`FAILED: ${error.message}`)
    if (error.advice) say(`  next thing to try: ${error.advice}`)
  }
  return 1
}

function readFlags(args) {
  const flags = new Set(args)
  const chosen = engineChoices.filter((choice) => flags.delete(`--${choice}`))
  const options = {
    choice: chosen[0] ?? null,
    production: flags.delete('--production'),
    engine: !flags.delete('--no-engine'),
    redis: !flags.delete('--no-redis'),
    retry: true
  }
  if (flags.size === 0 && chosen.length < 2) return options
  throw new SetupError(
    `${args.join(' ')} is not understood`,
    'See the first lines of scripts/setup.mjs'
  )
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    await setUp(readFlags(process.argv.slice(2)))
  } catch (error) {
    process.exitCode = report(error)
  }
}
