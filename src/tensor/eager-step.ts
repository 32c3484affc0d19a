/**
 * Runs a program op by op, for engines that cannot record: the portable twin of `compiled-step.ts`.
 *
 * Program order is execution order here. A read returns a clone, which keeps the value of its moment
 * whatever is assigned later.
 */
import type * as TF from '@tensorflow/tfjs-core'
import type { Tensor, Variable } from '@tensorflow/tfjs-core'
import { checkFeeds } from './feeds.ts'
import type { Output, Program, Step, StepScope } from './program.ts'

export const eagerStep = (tf: typeof TF, program: Program): Step => {
  const variables = new Map<string, Variable>()
  for (const [name, { shape, data }] of program.variables) {
    variables.set(
      name,
      tf.tidy(() => tf.variable(tf.tensor(data.slice(), [...shape]), false))
    )
  }
  const variable = (name: string): Variable => {
    const found = variables.get(name)
    if (found === undefined) {
      throw new RangeError(`Cannot use the variable ${name}: the program does not declare it`)
    }
    return found
  }
  const scope = eagerScope(tf, variable)
  const specs = Object.entries(program.inputs)

  return {
    run(feeds) {
      const arrays = checkFeeds(program.inputs, feeds)
      return tf.tidy(() => {
        const inputs = specs.map(([name, { shape, dtype }], i) => {
          const array = arrays[i] as Float32Array | Int32Array | Uint8Array
          const data = array instanceof Uint8Array ? Float32Array.from(array) : array.slice()
          return [name, tf.tensor(data, [...shape], dtype === 'int32' ? 'int32' : 'float32')]
        })
        const outputs = Object.entries(program.step(scope, Object.fromEntries(inputs)))
        return Object.fromEntries(outputs.map(([name, tensor]) => [name, copyOf(tensor)]))
      })
    },
    read(names = [...variables.keys()]) {
      return new Map(names.map((name) => [name, copyOf(variable(name)) as Float32Array]))
    },
    write(values) {
      for (const [name, data] of values) {
        const target = variable(name)
        tf.tidy(() => target.assign(tf.tensor(data.slice(), target.shape)))
      }
    },
    dispose() {
      for (const held of variables.values()) {
        held.dispose()
      }
    }
  }
}

const copyOf = (tensor: Tensor): Output => tensor.dataSync().slice() as Output

const eagerScope = (tf: typeof TF, variable: (name: string) => Variable): StepScope => {
  const read = (name: string) => tf.clone(variable(name) as Tensor)
  const assign = (name: string, value: Tensor) => {
    variable(name).assign(value)
  }
  return {
    read,
    assign,
    applyMomentum(name, { slot, gradient, learningRate, momentum, nesterov }) {
      const moved = tf.add(tf.mul(read(slot), momentum), gradient)
      assign(slot, moved)
      const direction = nesterov ? tf.add(gradient, tf.mul(moved, momentum)) : moved
      assign(name, tf.sub(read(name), tf.mul(direction, learningRate)))
    },
    applyAdam(name, update) {
      const { firstMoment, secondMoment, gradient, beta1, beta2, epsilon } = update
      const first = tf.add(tf.mul(read(firstMoment), beta1), tf.mul(gradient, 1 - beta1))
      const square = tf.mul(tf.square(gradient), 1 - beta2)
      const second = tf.add(tf.mul(read(secondMoment), beta2), square)
      assign(firstMoment, first)
      assign(secondMoment, second)
      const corrected = tf.div(
        tf.mul(update.learningRate, tf.sqrt(tf.sub(1, update.beta2Power))),
        tf.sub(1, update.beta1Power)
      )
      const change = tf.div(tf.mul(first, corrected), tf.add(tf.sqrt(second), epsilon))
      assign(name, tf.sub(read(name), change))
    }
  }
}
