/** Uses an entry of a worker's cache until it is killed. */
import { useEntry } from '../../src/worker/cache-eviction.ts'

useEntry(String(process.argv[2]))
process.send?.('used')
setInterval(() => {}, 1000)
process.on('disconnect', () => process.exit(0))
