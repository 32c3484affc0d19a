/**
 * Runs a program as one TensorFlow session call: recorded once, replayed from then on.
 *
 * tfjs dispatches op by op, tens of microseconds each and never two at a time; a recorded step costs one
 * call, and its variables live inside the session. Shapes are static: another batch size is another
 * compiled step.
 */
import type * as TF from '@tensorflow/tfjs-core'
import type { Tensor } from '@tensorflow/tfjs-core'
import { checkFeeds } from './feeds.ts'
import { type dataTypes, type Edge, GraphDef, typeAttribute } from './graph-def.ts'
import { addPorts, type Port } from './graph-ports.ts'
import { GraphVariables } from './graph-variables.ts'
import type { NativeBackend } from './native-backend.ts'
import { openNativeSession } from './native-session.ts'
import type { InputSpec, Output, Program, Step, StepScope } from './program.ts'
import { Recorder } from './recorder.ts'

interface Native {
  readonly tf: typeof TF
  readonly backend: NativeBackend
}

export const compiledStep = (native: Native, program: Program): Step => {
  const { inputs, outputs, ports, graph } = recordProgram(native, program)
  const session = openNativeSession(native.backend, graph)
  const port = (name: string): Port => {
    const found = ports.get(name)
    if (found === undefined) {
      throw new RangeError(`Cannot reach the variable ${name}: the program does not declare it`)
    }
    return found
  }

  const step: Step = {
    run(feeds) {
      const arrays = checkFeeds(program.inputs, feeds)
      const values = session.call(
        inputs.map((input, i) => ({ ...input, data: arrays[i] as ArrayBufferView })),
        outputs.map(({ edge }) => edge)
      )
      return Object.fromEntries(outputs.map(({ name }, i) => [name, values[i] as Output]))
    },
    read(names = [...ports.keys()]) {
      const fetches = names.map((name) => port(name).value)
      const values = fetches.length > 0 ? session.call([], fetches) : []
      return new Map(names.map((name, i) => [name, values[i] as Float32Array]))
    },
    write(values) {
      if (values.size === 0) {
        return
      }
      const entries = [...values].map(([name, data]) => ({ ...port(name), data }))
      session.call(
        entries.map(({ feed, shape, data }) => ({ edge: feed, shape, dtype: 'float32', data })),
        entries.map(({ written }) => written)
      )
    },
    dispose: session.close
  }
  step.write(new Map([...program.variables].map(([name, { data }]) => [name, data])))
  return step
}

const recordProgram = ({ tf, backend }: Native, program: Program) => {
  const graph = new GraphDef()
  const variables = new GraphVariables(graph, program.variables)
  const ports = addPorts(graph, variables, program.variables.keys())
  const recorder = new Recorder(backend, graph)
  const specs = Object.entries(program.inputs)
  const inputs = specs.map(([, spec], i) => addInput(graph, spec, i))
  const outputs = tf.tidy(() => {
    const scope = graphScope(tf, graph, variables, recorder, program)
    const named = specs.map(([name, { shape, dtype }], i) => {
      const standIn = tf.zeros([...shape], dtype === 'int32' ? 'int32' : 'float32')
      recorder.bind(standIn, (inputs[i] as { value: Edge }).value)
      return [name, standIn] as const
    })
    const made = recorder.record(() => program.step(scope, Object.fromEntries(named)))
    return Object.entries(made)
      .map(([name, tensor]) => ({ name, tensor, edge: recorder.edgeOf(tensor) }))
      .map(({ name, tensor, edge }) => ({ name, edge: addOutput(graph, variables, tensor, edge) }))
  })
  return { graph, inputs, outputs, ports }
}

/** A placeholder, and the edge on which the step finds it: uint8 arrives as float32. */
const addInput = (graph: GraphDef, { shape, dtype }: InputSpec, index: number) => {
  const edge = graph.placeholder(`input_${index}`, dtype, shape)
  const cast = { SrcT: typeAttribute('uint8'), DstT: typeAttribute('float32') }
  return { edge, shape, dtype, value: dtype === 'uint8' ? graph.add('Cast', [edge], cast) : edge }
}

/** Waits for every update, so that a fetched output means that the whole step has run. */
const addOutput = (
  graph: GraphDef,
  variables: GraphVariables,
  { dtype }: Tensor,
  edge: Edge
): Edge =>
  graph.add('Identity', [edge, ...variables.updated()], {
    T: typeAttribute(dtype as keyof typeof dataTypes)
  })

const graphScope = (
  tf: typeof TF,
  graph: GraphDef,
  variables: GraphVariables,
  recorder: Recorder,
  program: Program
): StepScope => {
  const T = { T: typeAttribute('float32') }
  const scalar = (value: number) =>
    graph.constant({ dtype: 'float32', shape: [], data: Float32Array.of(value) })
  const handle = (name: string) => variables.handle(name)
  const value = (tensor: Tensor) => recorder.edgeOf(tensor)

  return {
    read(name) {
      const edge = variables.read(name)
      const data = program.variables.get(name)?.data as Float32Array
      const standIn = tf.tensor(data, [...variables.shape(name)])
      recorder.bind(standIn, edge)
      return standIn
    },
    assign(name, tensor) {
      const dtype = { dtype: typeAttribute('float32') }
      variables.update([name], 'AssignVariableOp', [handle(name), value(tensor)], dtype)
    },
    applyMomentum(name, { slot, gradient, learningRate, momentum, nesterov }) {
      const inputs = [handle(name), handle(slot), value(learningRate), value(gradient)]
      const attributes = { ...T, use_nesterov: { kind: 'bool', value: nesterov } } as const
      const all = [...inputs, scalar(momentum)]
      variables.update([name, slot], 'ResourceApplyMomentum', all, attributes)
    },
    applyAdam(name, update) {
      const { firstMoment, secondMoment, beta1, beta2, epsilon } = update
      const inputs = [
        handle(name),
        handle(firstMoment),
        handle(secondMoment),
        value(update.beta1Power),
        value(update.beta2Power),
        value(update.learningRate),
        ...[beta1, beta2, epsilon].map(scalar),
        value(update.gradient)
      ]
      variables.update([name, firstMoment, secondMoment], 'ResourceApplyAdam', inputs, T)
    }
  }
}
