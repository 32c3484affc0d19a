/**
 * The machine that measures and serves: what a latency figure means nothing without.
 *
 * Only the instruction sets that change the speed or the answers of int8 inference are named.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { cpus } from 'node:os'
import type { Machine } from '../contract/report.ts'

/**
 * As the kernel spells them (x86 `flags`, arm64 `Features`). Without a *vnni* one, x86 adds pairs of
 * 8-bit products in 16 bits, which saturates; i8mm and asimddp are the arm64 counterparts.
 */
const int8Features = [
  'avx2',
  'avx512f',
  'avx512_vnni',
  'avx_vnni',
  'amx_int8',
  'asimd',
  'asimddp',
  'i8mm'
] as const

/** The CPU of this host, its int8 instruction sets (Linux; none elsewhere) and the runtime's version. */
export function machine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() || process.arch,
    features: cpuFeatures(readCpuInfo()),
    onnxruntime: runtimeVersion()
  }
}

/** The instruction sets that matter for int8 among those of a `/proc/cpuinfo`. */
export function cpuFeatures(cpuinfo: string): string[] {
  const line = /^(?:flags|Features)\s*:(.*)$/m.exec(cpuinfo)?.[1] ?? ''
  const present = new Set(line.trim().split(/\s+/))
  return int8Features.filter((feature) => present.has(feature))
}

function readCpuInfo(): string {
  try {
    return readFileSync('/proc/cpuinfo', 'utf8')
  } catch {
    return '' // not Linux
  }
}

function runtimeVersion(): string {
  const manifest = createRequire(import.meta.url)('onnxruntime-node/package.json')
  return manifest.version
}
