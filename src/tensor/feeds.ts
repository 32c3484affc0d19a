/** Checks what is fed into a step against what its program declares. */
import type { Feed, InputSpec } from './program.ts'

type TypedArray = Float32Array | Int32Array | Uint8Array

const arrayTypes = { float32: Float32Array, int32: Int32Array, uint8: Uint8Array } as const

/**
 * Feeds as typed arrays, in the order of `inputs`.
 *
 * @throws RangeError when one is missing, unknown or of the wrong length; TypeError on another type.
 */
export const checkFeeds = (
  inputs: Readonly<Record<string, InputSpec>>,
  feeds: Readonly<Record<string, Feed>>
): TypedArray[] => {
  const stranger = Object.keys(feeds).find((name) => !(name in inputs))
  if (stranger !== undefined) {
    throw new RangeError(`Cannot run the step: it has no input ${stranger}`)
  }
  return Object.entries(inputs).map(([name, spec]) => checkFeed(name, spec, feeds[name]))
}

const checkFeed = (name: string, { shape, dtype }: InputSpec, feed: Feed | undefined) => {
  const type = arrayTypes[dtype]
  const array = typeof feed === 'number' ? type.of(feed) : feed
  if (!(array instanceof type)) {
    const received = array === undefined ? 'nothing' : array.constructor.name
    throw new TypeError(`Cannot feed ${name}: it is ${dtype}, received ${received}`)
  }
  const length = shape.reduce((product, size) => product * size, 1)
  if (array.length !== length) {
    const wanted = `it has ${length} elements [${shape}]`
    throw new RangeError(`Cannot feed ${name}: ${wanted}, received ${array.length}`)
  }
  return array
}
