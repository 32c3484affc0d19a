import { testAppliedAugmentation } from '../../support/applied-augmentation.ts'

await testAppliedAugmentation('wasm')
