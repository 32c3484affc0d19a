/** A forked process whose event loop stands still for as long as a native library would keep it. */
import { endWithParent } from '../../src/end-with-parent.ts'

endWithParent()
process.send?.('stuck', () => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
})
