/** How much of a disk is kept back from uploads, and how much from everything but the catalogue. */

const MiB = 2 ** 20
/** Time to find and free room: a few large checkpoints, and a catalogue that goes on growing. */
const least = 64 * MiB
const most = 1024 * MiB
const share = 0.02
/** A limit that is small as a whole must leave room for something besides its reserve. */
const mostShare = 0.25
/** Of the reserve, what files of accepted jobs may not touch either. */
const catalogueShare = 0.25

/** Bytes of `capacity` that an upload may not take. */
export const reserveOf = (capacity: number): number =>
  Math.floor(Math.min(Math.max(least, capacity * share), most, capacity * mostShare))

/** Bytes of `capacity` that are left to the catalogue alone. */
export const lastReserveOf = (capacity: number): number =>
  Math.floor(reserveOf(capacity) * catalogueShare)
