/** A worker thread whose memory has not grown yet: resamples one image, and says what came of it. */
import { parentPort, workerData } from 'node:worker_threads'
import { canvas, resample } from '../../src/image/resample.ts'
import type { InputShape } from '../../src/image/shape.ts'

const { width, height, shape } = workerData as { width: number; height: number; shape: InputShape }
const { channels } = shape
const pixels = canvas(width * height * channels).fill(77)
parentPort?.postMessage(resample({ width, height, channels, pixels }, shape))
