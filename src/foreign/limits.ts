/** What a model made elsewhere may take; beyond it, it is refused. */

export const foreignLimits = {
  /** Of the ONNX file. */
  fileBytes: 512 * 2 ** 20,
  /** Fields of one protobuf message; packed numbers count as one. */
  fields: 1_000_000,
  nodes: 20_000,
  /** Of a tensor's shape. */
  dimensions: 8,
  /** Of a name or a text, in bytes. */
  textBytes: 2000,
  /** Side in pixels of the square input. */
  side: { least: 8, most: 1024 },
  /** Of the process that tries it, load and runs together. */
  seconds: 60,
  /** JavaScript heap of that process. */
  heapMiB: 512
} as const

/**
 * KiB that the process which tries a model may write to: the file, what is written of it, what ONNX Runtime
 * makes of both, and the results of its operators. Half of the constant part is for Node itself: each of its
 * two isolates maps some 550 MiB that it hardly touches.
 */
export const memoryKiB = (fileBytes: number): number =>
  Math.ceil((2.5 * 2 ** 30 + 5 * fileBytes) / 1024)
