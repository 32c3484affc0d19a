/**
 * The class of a CPU: all of it that decides about the last bits of a training.
 *
 * Two processors of one class compute the same sums in the same order. The instruction sets choose the
 * kernels (oneDNN's CPU dispatcher, MLAS, Eigen's packets). The sizes of the data caches choose the blocks
 * into which matrix products are cut, hence the order of additions (Eigen's computeProductBlockingSizes
 * asks CPUID for them). Model names and clock rates say nothing about bits.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { cpus } from 'node:os'

/** As the kernel spells them: x86 `flags`, arm64 `Features`. */
const decisive = [
  'sse4_1',
  'sse4_2',
  'avx',
  'avx2',
  'fma',
  'f16c',
  'avx_vnni',
  'avx512f',
  'avx512dq',
  'avx512bw',
  'avx512vl',
  'avx512_vnni',
  'avx512_bf16',
  'avx512_fp16',
  'amx_tile',
  'amx_int8',
  'amx_bf16',
  'asimd',
  'asimddp',
  'i8mm',
  'bf16',
  'sve',
  'sve2'
] as const

const cacheFolder = '/sys/devices/system/cpu/cpu0/cache'

/** The class of this host's CPU. Where there is no `/proc/cpuinfo` (not Linux), the model stands for it. */
export function cpuClass(): string {
  const cpuinfo = readText('/proc/cpuinfo')
  if (cpuinfo === '') return `${process.arch} ${cpus()[0]?.model.trim() ?? 'unknown'}`
  return cpuClassOf(cpuinfo, dataCaches())
}

/** The class that a `/proc/cpuinfo` and the sizes of the data caches, from the first level on, tell. */
export function cpuClassOf(cpuinfo: string, caches: readonly string[]): string {
  const field = (name: string): string =>
    new RegExp(`^(?:${name})\\s*:(.*)$`, 'm').exec(cpuinfo)?.[1]?.trim() ?? ''
  const present = new Set(field('flags|Features').split(/\s+/))
  const sets = decisive.filter((set) => present.has(set))
  const vendor = field('vendor_id|CPU implementer') || 'unknown'
  const cached = caches.length === 0 ? [] : [`caches ${caches.join(' ')}`]
  return [[vendor, ...sets].join(' '), ...cached].join(', ')
}

function dataCaches(): string[] {
  return readFolder(cacheFolder)
    .filter((name) => name.startsWith('index'))
    .map((name) => (part: string) => readText(`${cacheFolder}/${name}/${part}`).trim())
    .filter((read) => read('type') !== 'Instruction')
    .map((read) => ({ level: read('level'), size: read('size') }))
    .sort((a, b) => Number(a.level) - Number(b.level))
    .map(({ size }) => size)
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return '' // Another system, or a container that hides it.
  }
}

function readFolder(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
