import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import Value from 'typebox/value'
import { Machine } from '../../../src/contract/report.ts'
import { cpuFeatures, machine } from '../../../src/runtime/machine.ts'

describe('cpuFeatures()', () => {
  it('reads x86 flags as whole words', () => {
    const text = 'processor\t: 0\nflags\t\t: fpu avx2 avx512_vnni avx512f_not avx_vnni\n'
    assert.deepEqual(cpuFeatures(text), ['avx2', 'avx512_vnni', 'avx_vnni'])
  })
  it('reads arm64 features', () => {
    assert.deepEqual(cpuFeatures('Features\t: fp asimd asimddp i8mm\n'), [
      'asimd',
      'asimddp',
      'i8mm'
    ])
  })
  it('finds none in something else', () => {
    assert.deepEqual(cpuFeatures(''), [])
  })
})

describe('machine()', () => {
  it('fits the contract', () => {
    assert.ok(Value.Check(Machine, machine()))
    assert.match(machine().onnxruntime, /^\d+\.\d+\.\d+/)
  })
})
