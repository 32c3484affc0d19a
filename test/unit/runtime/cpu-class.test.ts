import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { cpuClass, cpuClassOf } from '../../../src/runtime/cpu-class.ts'

const xeon = `processor	: 0
vendor_id	: GenuineIntel
model name	: Some Xeon @ 2.70GHz
flags		: fpu fma avx avx2 avx512f avx512_vnni amx_int8 hypervisor

processor	: 1
vendor_id	: GenuineIntel
flags		: fpu
`

describe('cpuClassOf()', () => {
  it('names vendor, decisive instruction sets in one order, and caches', () => {
    assert.equal(
      cpuClassOf(xeon, ['48K', '2048K', '107520K']),
      'GenuineIntel avx avx2 fma avx512f avx512_vnni amx_int8, caches 48K 2048K 107520K'
    )
  })
  it('does not tell models and clock rates apart, but does tell caches and instruction sets apart', () => {
    const same = cpuClassOf(xeon.replace('2.70GHz', '3.10GHz'), ['48K'])
    assert.equal(same, cpuClassOf(xeon, ['48K']))
    assert.notEqual(same, cpuClassOf(xeon, ['32K']))
    assert.notEqual(same, cpuClassOf(xeon.replace(' avx512_vnni', ''), ['48K']))
    assert.notEqual(same, cpuClassOf(xeon.replaceAll('GenuineIntel', 'AuthenticAMD'), ['48K']))
  })
  it('reads arm64', () => {
    const text = 'CPU implementer\t: 0x41\nFeatures\t: fp asimd asimddp i8mm\n'
    assert.equal(cpuClassOf(text, []), '0x41 asimd asimddp i8mm')
  })
})

describe('cpuClass()', () => {
  it('says the same twice, and fits the contract', () => {
    assert.equal(cpuClass(), cpuClass())
    assert.ok(cpuClass().length > 0 && cpuClass().length <= 500)
  })
})
