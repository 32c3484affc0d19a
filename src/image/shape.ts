/** What a network takes. */

/** stretch: both sides independently; cover: centre crop; contain: black bars. */
export type ResizeMode = 'stretch' | 'cover' | 'contain'

export interface InputShape {
  /** Side in pixels of the square result. */
  readonly size: number
  readonly channels: 1 | 3
  readonly resize: ResizeMode
}
