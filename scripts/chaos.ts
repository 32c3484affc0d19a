/**
 * `npm run chaos`: a whole whittle is killed, frozen, emptied and interrupted for a while, and asked
 * all along whether it has lost, doubled or got wrong anything that it had accepted.
 *
 * Runs in a temporary folder on loopback and reads proc(5), so on Linux only. The exit code is 1 when
 * anything was found; the seed, printed first, draws the same faults again.
 */
import { randomInt } from 'node:crypto'
import { type ChaosOptions, readOptions, usage } from './chaos/options.ts'
import { runChaos } from './chaos/run-chaos.ts'

async function chaos(options: ChaosOptions): Promise<number> {
  print(`seed ${options.seed}, ${options.seconds} s, ${options.workers} workers\n`)
  const { ledger, table, evidence } = await runChaos(options, print)
  print(`\n${table}\n`)
  if (ledger.findings.length === 0) return 0
  print(`${evidence}\n\nTo repeat it: npm run chaos -- ${repeat(options)}`)
  return 1
}

const repeat = ({ seed, seconds, workers, gapSeconds, jobs, brief }: ChaosOptions): string =>
  [
    `--seed ${seed} --seconds ${seconds} --workers ${workers} --gap ${gapSeconds}`,
    ...(Number.isFinite(jobs) ? [`--jobs ${jobs}`] : []),
    ...(brief ? ['--brief'] : [])
  ].join(' ')

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

// Its processes end with it, by their channels.
process.on('disconnect', () => process.exit(1))

try {
  const args = process.argv.slice(2)
  if (args.includes('--help')) print(usage)
  else process.exitCode = await chaos(readOptions(args, randomInt(2 ** 31)))
} catch (error) {
  print(error instanceof Error ? error.message : String(error))
  process.exitCode = 1
}
// The channel to the launcher would keep the process alive.
process.exit()
