/** Why an attempt goes no further for now although nothing is wrong with its job. */

/** Has the job dispatched again after a while; nothing is counted against it, and its log says why. */
export class PutOff extends Error {
  override readonly name = 'PutOff'
}
