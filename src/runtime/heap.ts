/** How V8's collector treats buffers, which lie outside of its heap. */
import { setFlagsFromString } from 'node:v8'

/**
 * Has buffers counted into the limit of the whole heap, which follows what survives a collection.
 *
 * Otherwise V8 marks the whole heap anew whenever some ten megabytes of buffers have come and gone: in the
 * api with 300 tensors of 150 kB a second that is eight times a second, a third of what its thread does, in
 * pauses of 30 ms. An engine that inflates PNGs spends a tenth of its time so. To be called first of all.
 */
export function countBuffersWithHeap(): void {
  setFlagsFromString('--external-memory-accounted-in-global-limit')
}
