/**
 * Reads the text form of Prometheus strictly (prometheus.io/docs/instrumenting/exposition_formats), and
 * checks what promtool would: names, units, types, histograms.
 */
import assert from 'node:assert/strict'

export interface Family {
  readonly type: string
  readonly samples: Map<string, number>
}

/** Metrics by name; their samples by name and labels, as they were written. */
export function readMetrics(text: string): Map<string, Family> {
  assert.ok(text.endsWith('\n'), 'the last line has no end')
  const families = new Map<string, Family>()
  let name = ''
  let helped = ''
  for (const line of text.slice(0, -1).split('\n')) {
    if (line === '') continue
    const help = /^# HELP ([a-z][a-z0-9_]*) \S/.exec(line)?.[1]
    const type = /^# TYPE ([a-z][a-z0-9_]*) (counter|gauge|histogram)$/.exec(line)
    if (help !== undefined) {
      helped = help
    } else if (type !== null) {
      name = type[1] ?? ''
      assert.equal(helped, name, `${name} has no help`)
      assert.ok(!families.has(name), `${name} comes twice`)
      families.set(name, { type: type[2] ?? '', samples: new Map() })
    } else {
      addSample(line, name, families.get(name))
    }
  }
  for (const [known, family] of families) checkFamily(known, family)
  return families
}

const label = String.raw`[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\\\|\\"|\\n)*"`
const sample = new RegExp(`^([a-z][a-z0-9_]*)(?:\\{(${label}(?:,${label})*)\\})? (-?[0-9.e+-]+)$`)

function addSample(line: string, name: string, family: Family | undefined): void {
  const [, full = '', labels = '', value] = sample.exec(line) ?? []
  assert.ok(family !== undefined && value !== undefined, `not a sample: ${line}`)
  const names = family.type === 'histogram' ? ['_bucket', '_sum', '_count'] : ['']
  assert.ok(names.includes(full.slice(name.length)), `${line} is no sample of ${name}`)
  const key = `${full}{${labels}}`
  assert.ok(!family.samples.has(key), `${key} comes twice`)
  assert.ok(Number.isFinite(Number(value)), line)
  family.samples.set(key, Number(value))
}

function checkFamily(name: string, { type, samples }: Family): void {
  if (name.startsWith('nv_inference_')) {
    // Named by Triton, whose counters have no suffix.
    assert.equal(type, 'counter', name)
    return
  }
  assert.match(name, /^whittle_/)
  assert.equal(name.endsWith('_total'), type === 'counter', `${name} is a ${type}`)
  assert.doesNotMatch(name, /_(ms|milliseconds|minutes|kb|mb|megabytes|percent)(_|$)/)
  for (const [key, value] of samples) assert.ok(type === 'gauge' || value >= 0, key)
  if (type !== 'histogram') return
  assert.match(name, /_(seconds|bytes)$/)
  for (const [labels, buckets] of bucketsOf(samples)) {
    const bounds = buckets.map(([bound]) => bound)
    const counts = buckets.map(([, count]) => count)
    assert.deepEqual(
      bounds,
      [...new Set(bounds)].sort((a, b) => a - b),
      name
    )
    assert.deepEqual(
      counts,
      counts.toSorted((a, b) => a - b),
      `${name} is not cumulative`
    )
    assert.equal(bounds.at(-1), Number.POSITIVE_INFINITY)
    assert.equal(samples.get(`${name}_count{${labels}}`), counts.at(-1))
    assert.ok(samples.has(`${name}_sum{${labels}}`), `${name} has no sum`)
  }
}

/** Bound and count of each bucket, by the other labels of its series. */
function bucketsOf(samples: Family['samples']): Map<string, [number, number][]> {
  const series = new Map<string, [number, number][]>()
  for (const [key, count] of samples) {
    const [, le, rest = ''] = /_bucket\{le="([^"]*)",?(.*)\}$/.exec(key) ?? []
    if (le === undefined) continue
    const bound = le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le)
    series.set(rest, [...(series.get(rest) ?? []), [bound, count]])
  }
  return series
}
