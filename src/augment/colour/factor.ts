/**
 * The draw that all colour transforms share: one factor from U(1 - amount, 1 + amount).
 */
import type { Random } from '../../tensor/random.ts'

export const drawFactor = (
  random: Random,
  { amount }: { readonly amount: number },
  _size: number,
  drawn: Float64Array
): void => {
  drawn[0] = random.between(1 - amount, 1 + amount)
}
