/**
 * Sliding windows: output sizes and padding of convolutions and pools.
 *
 * TensorFlow's arithmetic: 'same' gives ceil(in / stride) and puts the odd row of padding last, so at
 * stride 2 on an even side the padding is asymmetric. ONNX gets these pads written out.
 */
import type { Padding } from '../tensor/kernels.ts'
import type { Node } from './graph.ts'
import { integerAttr, misfit } from './operand.ts'

export interface Window {
  readonly size: readonly [height: number, width: number]
  readonly stride: number
  readonly padding: Padding
}

/** Stride and padding of a node. @throws RangeError when they are not usable. */
export const windowOptions = (
  node: Node
): { readonly stride: number; readonly padding: Padding } => {
  const stride = integerAttr(node, 'stride', { min: 1, max: 64 })
  const { padding } = node.attrs
  if (padding !== 'same' && padding !== 'valid') {
    throw misfit(node, "padding must be 'same' or 'valid'", padding)
  }
  return { stride, padding }
}

/** Size, stride and padding of a pooling node. @throws RangeError when they are not usable. */
export const poolWindow = (node: Node): Window => {
  const size = integerAttr(node, 'size', { min: 1, max: 256 })
  return { size: [size, size], ...windowOptions(node) }
}

/** [h', w'] of a window sliding over [h, w]. @throws RangeError when the window does not fit once. */
export const slide = (
  [height, width]: readonly [height: number, width: number, ...rest: number[]],
  window: Window,
  node: Node
): readonly [height: number, width: number] => {
  const out = [height, width].map((side, axis) => outputLength(side, window, axis))
  const [h = 0, w = 0] = out
  if (h < 1 || w < 1) {
    throw misfit(node, `a window of ${window.size.join('x')} must fit`, [height, width])
  }
  return [h, w]
}

/** Pads in ONNX's order: top, left, bottom, right. */
export const windowPads = (
  [height, width]: readonly [height: number, width: number, ...rest: number[]],
  window: Window
): readonly [top: number, left: number, bottom: number, right: number] => {
  const vertical = total(height, window, 0)
  const horizontal = total(width, window, 1)
  const top = Math.floor(vertical / 2)
  const left = Math.floor(horizontal / 2)
  return [top, left, vertical - top, horizontal - left]
}

const outputLength = (side: number, { size, stride, padding }: Window, axis: number): number =>
  padding === 'same'
    ? Math.ceil(side / stride)
    : Math.floor((side - (size[axis] as number)) / stride) + 1

const total = (side: number, window: Window, axis: number): number => {
  if (window.padding === 'valid') return 0
  const covered =
    (outputLength(side, window, axis) - 1) * window.stride + (window.size[axis] as number)
  return Math.max(covered - side, 0)
}
