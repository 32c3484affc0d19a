/** How V8's collector treats request bodies, which lie outside of its heap. */
import { setFlagsFromString } from 'node:v8'

/**
 * Has bodies counted into the limit of the whole heap, which follows what survives a collection.
 *
 * Otherwise V8 marks the whole heap anew whenever some ten megabytes of bodies have come and gone: at 300
 * tensors of 150 kB a second that is eight times a second, a third of what the thread that answers does, and
 * pauses of 30 ms.
 */
export function countBodiesWithHeap(): void {
  setFlagsFromString('--external-memory-accounted-in-global-limit')
}
