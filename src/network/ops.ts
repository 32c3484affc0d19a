/** The table of ops: a new op is its file in `op/`, its name in `op.ts` and a row here. */
import { add } from './op/add.ts'
import { avgPool } from './op/avg-pool.ts'
import { batchNorm } from './op/batch-norm.ts'
import { concat } from './op/concat.ts'
import { conv2d } from './op/conv2d.ts'
import { dense } from './op/dense.ts'
import { depthwiseConv2d } from './op/depthwise-conv2d.ts'
import { dropout } from './op/dropout.ts'
import { flatten } from './op/flatten.ts'
import { globalAvgPool } from './op/global-avg-pool.ts'
import { maxPool } from './op/max-pool.ts'
import { relu } from './op/relu.ts'
import { relu6 } from './op/relu6.ts'
import { softmax } from './op/softmax.ts'
import type { OpDefinition, OpName } from './op.ts'

export const ops: Readonly<Record<OpName, OpDefinition>> = {
  conv2d,
  depthwiseConv2d,
  dense,
  batchNorm,
  relu,
  relu6,
  maxPool,
  avgPool,
  globalAvgPool,
  add,
  concat,
  flatten,
  dropout,
  softmax
}
