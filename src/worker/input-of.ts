/** The form in which the model of a job wants its images, whatever is done with it. */
import type { Assignment } from '../contract/job.ts'
import type { InputShape } from '../image/preprocess.ts'

export function inputOf(assignment: Assignment): InputShape {
  const { network } = assignment.kind === 'evaluate' ? assignment.evaluation : assignment.recipe
  const { inputSize: size, channels, resize } = network
  return { size, channels, resize }
}
