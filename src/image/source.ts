/**
 * Where training, calibration and evaluation read pixels from: one split of a pack.
 *
 * The interface lives here, below every room that reads, so that `train` and `quantize` need not know
 * how `dataset/pack.ts` stores them.
 */
export interface ImageSource {
  /** Number of images. */
  readonly count: number
  /** Side in pixels as stored. */
  readonly size: number
  readonly channels: 1 | 3
  /** Class index of every image, by position. Length `count`. */
  readonly labels: Int32Array
  /**
   * Copies the images at `positions` into `into`, one after the other, as uint8 [size, size, channels].
   * Synchronous: a training step has nothing else to do meanwhile.
   *
   * @throws RangeError when a position is outside 0..count-1 or `into` is too short.
   */
  read(positions: ArrayLike<number>, into: Uint8Array): void
}
