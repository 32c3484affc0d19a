/** What the demo prints: numbered steps, a progress bar on terminals, epoch lines, one table. */
import type { Job, Metric } from '../../src/contract/job.ts'
import type { ModelVersion } from '../../src/contract/model.ts'

const out = process.stdout
const steps = 6
let step = 0

/** Announces the next step; returns a function that says how it ended, and how long it took. */
export function begin(name: string, doing: string): (done: string) => void {
  const start = performance.now()
  const head = `${++step}/${steps}  ${name.padEnd(9)}`
  out.write(out.isTTY ? `${head}${doing} ...` : `${head}${doing}\n`)
  return (done) => {
    const seconds = `${((performance.now() - start) / 1000).toFixed(1)} s`
    out.write(
      out.isTTY
        ? `\r\x1b[2K${head}${done} (${seconds})\n`
        : `     ${' '.repeat(9)}${done} (${seconds})\n`
    )
  }
}

/** Prints lines below the current step. */
export const print = (text = ''): void => void out.write(`${text}\n`)

const barWidth = 30

/** Follows a job: epoch lines stay, the bar below them is redrawn. */
export function follow(): (job: Job, metrics: readonly Metric[]) => void {
  let shown = 0
  return (job, metrics) => {
    if (out.isTTY) out.write('\r\x1b[2K')
    for (const metric of metrics.slice(shown)) print(`     ${epochLine(metric)}`)
    shown = metrics.length
    if (out.isTTY && job.finishedAt === null) out.write(`     ${bar(job)}`)
  }
}

function bar({ progress, stage, etaSeconds }: Job): string {
  const full = Math.round(progress * barWidth)
  const left = etaSeconds === null ? '' : `  about ${Math.ceil(etaSeconds)} s left`
  return `${'█'.repeat(full)}${'░'.repeat(barWidth - full)} ${String(Math.floor(progress * 100)).padStart(3)} %  ${stage ?? 'queued'}${left}`
}

function epochLine({ stage, epoch, loss, validation, imagesPerSecond }: Metric): string {
  return [
    `${stage.padEnd(6)} epoch ${String(epoch).padStart(2)}`,
    `loss ${loss.toFixed(4)}`,
    `validation ${percent(validation.accuracy).padStart(8)}`,
    `${thousands(Math.round(imagesPerSecond))} images/s`
  ].join('   ')
}

/** Baseline, pruned, int8: one row each. */
export function table({ variants, recommended }: ModelVersion): void {
  const head = ['', 'test accuracy', 'bytes', 'MACs', 'ms (p50)', 'times faster']
  const rows = Object.entries(variants).map(([name, variant]) => [
    name === recommended ? `${name} *` : name,
    variant.accuracy === null ? '' : percent(variant.accuracy.test.value),
    thousands(variant.bytes),
    variant.macs === null ? '' : thousands(variant.macs),
    variant.latency.medianMs.toFixed(4) + (variant.latency.noisy ? ' (noisy)' : ''),
    variant.versusBaseline === null ? '' : timesFaster(variant.versusBaseline.faster)
  ])
  const widths = head.map((_, i) => Math.max(...[head, ...rows].map((row) => row[i]?.length ?? 0)))
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join('   ')
  print()
  for (const row of [head, ...rows]) print(`     ${line(row)}`)
  print()
}

const percent = (share: number): string => `${(share * 100).toFixed(2)} %`
export const thousands = (n: number): string => n.toLocaleString('en-US')

/** Cut, not rounded: nothing is called faster than it is. */
const timesFaster = (factor: number): string => `${(Math.floor(factor * 100) / 100).toFixed(2)}x`
