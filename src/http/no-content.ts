/** Declares the answer to what leaves nothing to show (204). */
import { Type } from 'typebox'

export const noContent = Type.Unsafe<void>({ type: 'null', description: 'Done' })
