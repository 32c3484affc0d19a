/**
 * The inner loops of `../resample.ts`, in AssemblyScript with 128-bit SIMD (WebAssembly core 2.0).
 *
 * Both passes are integer arithmetic: weights of 14 fractional bits, sums in 32 bits, results rounded
 * to 8 bits. So they give the same bytes on every machine. `npm run wasm` compiles this file.
 *
 * All arguments are addresses and sizes in bytes. `starts` are int32, one a result; `weights` are
 * int16, `taps` of them a result. Reads may pass the last source byte by what `taps` was rounded up
 * by, times one pixel or row; such bytes have weight zero.
 */

const fraction: i32 = 14

function bytesOf(lowLow: v128, lowHigh: v128, highLow: v128, highHigh: v128): v128 {
  return i8x16.narrow_i16x8_u(
    i16x8.narrow_i32x4_s(i32x4.shr_s(lowLow, fraction), i32x4.shr_s(lowHigh, fraction)),
    i16x8.narrow_i32x4_s(i32x4.shr_s(highLow, fraction), i32x4.shr_s(highHigh, fraction))
  )
}

/** Mixes rows of `rowBytes` at `from`, `stride` apart, to `count` rows at `to`. `taps` is even, strides are multiples of 16. */
export function mixRows(
  from: usize,
  stride: usize,
  rowBytes: i32,
  to: usize,
  toStride: usize,
  count: i32,
  starts: usize,
  weights: usize,
  taps: i32
): void {
  const half = i32x4.splat(1 << (fraction - 1))
  for (let y = 0; y < count; y++) {
    const first = from + <usize>load<i32>(starts + ((<usize>y) << 2)) * stride
    const ownWeights = weights + <usize>(y * taps) * 2
    const out = to + <usize>y * toStride
    for (let x = 0; x < rowBytes; x += 16) {
      let a = half
      let b = half
      let c = half
      let d = half
      let at = first + <usize>x
      for (let k = 0; k < taps; k += 2) {
        const upper = v128.load(at)
        const lower = v128.load(at + stride)
        const pair = v128.load32_splat(ownWeights + ((<usize>k) << 1))
        const low = i8x16.shuffle(
          upper,
          lower,
          0,
          16,
          1,
          17,
          2,
          18,
          3,
          19,
          4,
          20,
          5,
          21,
          6,
          22,
          7,
          23
        )
        const high = i8x16.shuffle(
          upper,
          lower,
          8,
          24,
          9,
          25,
          10,
          26,
          11,
          27,
          12,
          28,
          13,
          29,
          14,
          30,
          15,
          31
        )
        a = i32x4.add(a, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_u(low), pair))
        b = i32x4.add(b, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_u(low), pair))
        c = i32x4.add(c, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_u(high), pair))
        d = i32x4.add(d, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_u(high), pair))
        at += stride << 1
      }
      v128.store(out + <usize>x, bytesOf(a, b, c, d))
    }
  }
}

/** Mixes RGB pixels of each of `rows` rows to `count` pixels. `taps` is a multiple of 4. Writes one byte past each row. */
export function mixRgb(
  from: usize,
  stride: usize,
  rows: i32,
  to: usize,
  toStride: usize,
  count: i32,
  starts: usize,
  weights: usize,
  taps: i32
): void {
  const half = i32x4.splat(1 << (fraction - 1))
  const zero = i32x4.splat(0)
  for (let y = 0; y < rows; y++) {
    const row = from + <usize>y * stride
    let out = to + <usize>y * toStride
    let own = weights
    for (let x = 0; x < count; x++) {
      let at = row + <usize>(load<i32>(starts + ((<usize>x) << 2)) * 3)
      let sum = half
      for (let k = 0; k < taps; k += 4) {
        const pixels = v128.load(at)
        const first = i8x16.shuffle(
          pixels,
          zero,
          0,
          16,
          3,
          16,
          1,
          16,
          4,
          16,
          2,
          16,
          5,
          16,
          16,
          16,
          16,
          16
        )
        const second = i8x16.shuffle(
          pixels,
          zero,
          6,
          16,
          9,
          16,
          7,
          16,
          10,
          16,
          8,
          16,
          11,
          16,
          16,
          16,
          16,
          16
        )
        sum = i32x4.add(sum, i32x4.dot_i16x8_s(first, v128.load32_splat(own)))
        sum = i32x4.add(sum, i32x4.dot_i16x8_s(second, v128.load32_splat(own + 4)))
        own += 8
        at += 12
      }
      v128.store32_lane(out, bytesOf(sum, zero, zero, zero), 0)
      out += 3
    }
  }
}

/** Mixes grey pixels of each of `rows` rows to `count` pixels. `taps` is a multiple of 8. */
export function mixGrey(
  from: usize,
  stride: usize,
  rows: i32,
  to: usize,
  toStride: usize,
  count: i32,
  starts: usize,
  weights: usize,
  taps: i32
): void {
  for (let y = 0; y < rows; y++) {
    const row = from + <usize>y * stride
    const out = to + <usize>y * toStride
    let own = weights
    for (let x = 0; x < count; x++) {
      let at = row + <usize>load<i32>(starts + ((<usize>x) << 2))
      let sum = i32x4.splat(0)
      for (let k = 0; k < taps; k += 8) {
        const pixels = i16x8.extend_low_i8x16_u(v128.load64_zero(at))
        sum = i32x4.add(sum, i32x4.dot_i16x8_s(pixels, v128.load(own)))
        own += 16
        at += 8
      }
      const total =
        i32x4.extract_lane(sum, 0) +
        i32x4.extract_lane(sum, 1) +
        i32x4.extract_lane(sum, 2) +
        i32x4.extract_lane(sum, 3)
      const value = (total + (1 << (fraction - 1))) >> fraction
      store<u8>(out + <usize>x, <u8>min(max(value, 0), 255))
    }
  }
}
