/**
 * One training step of ResNet-20 (32 pixels, batch 128, float32): whittle, Keras and PyTorch in turns.
 *
 *   python3 -m venv peers && peers/bin/pip install torch==2.13.0 tensorflow-cpu==2.21.0 keras
 *   node bench/training-step-peers.ts peers/bin/python [threads] [rounds] [steps]
 *
 * Same network, batch, optimizer and threads; one process each, only one of them working at a time, so
 * that a busy machine slows all alike. Figures are medians over rounds; ratios are medians of each round's.
 */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

const [python = 'python3', threads = '2', rounds = '5', steps = '6'] = process.argv.slice(2)
const peers = new URL('peers/', import.meta.url).pathname
const commands = {
  whittle: [process.execPath, `${peers}resnet-whittle.ts`],
  Keras: [python, `${peers}resnet_keras.py`],
  PyTorch: [python, `${peers}resnet_pytorch.py`]
} as const
type Peer = keyof typeof commands
const names = Object.keys(commands) as Peer[]

const start = async (peer: Peer) => {
  const [program, file] = commands[peer]
  const child = spawn(program, [file, threads, steps], { stdio: ['pipe', 'pipe', 'ignore'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async (): Promise<string> => {
    const { value, done } = await lines.next()
    if (done) throw new Error(`${peer} ended: ${program} ${file}`)
    return value
  }
  console.log(`${peer}: ${await next()}`)
  return {
    async round() {
      child.stdin.write('\n')
      return Number(await next())
    },
    end: () => child.stdin.end()
  }
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

const running = new Map<Peer, Awaited<ReturnType<typeof start>>>()
for (const peer of names) running.set(peer, await start(peer))
const figures: Record<Peer, number>[] = []
for (let i = 0; i < Number(rounds); i++) {
  const figure = { whittle: 0, Keras: 0, PyTorch: 0 }
  for (const [peer, process] of running) figure[peer] = await process.round()
  figures.push(figure)
}
for (const process of running.values()) process.end()
for (const peer of names) {
  const speed = median(figures.map((figure) => figure[peer]))
  const ratio = median(figures.map((figure) => figure.whittle / figure[peer]))
  console.log(`${peer.padEnd(8)} ${speed.toFixed(0)} images/s, whittle is ${ratio.toFixed(2)}x`)
}
