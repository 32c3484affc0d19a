/**
 * Tests on a disk that can really be filled: a small tmpfs that no other process sees.
 *
 * It is mounted in a namespace of its own (mount_namespaces(7)), and so goes with the last process there,
 * however that ends. Node cannot enter one once it runs; so such a test is run by another process, which
 * is the same test file again, told where the disk is.
 */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, writeSync } from 'node:fs'
import { mkdtemp, rm, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { endWithParent } from '../../src/end-with-parent.ts'

interface SmallDiskOptions {
  /** The test file that calls: `import.meta.filename`. */
  readonly file: string
  readonly MiB: number
}

/** A test that gets the folder of an empty disk of so many MiB; skipped where none can be mounted. */
export function testOnSmallDisk(
  title: string,
  { file, MiB }: SmallDiskOptions,
  run: (t: TestContext, disk: string) => Promise<void>
): void {
  const [, disk] = onDisk.exec(process.argv[2] ?? '') ?? []
  if (disk !== undefined) {
    endWithParent()
    // That listens to the channel, which must not keep a process alive whose tests are over.
    process.channel?.unref()
    test(title, (t) => run(t, disk))
    return
  }
  test(title, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'whittle-disk-'))
    t.after(() => rmdir(folder))
    const command = mountings.map((start) => [...start, `size=${MiB}m`, folder]).find(isAllowed)
    if (command === undefined) return t.skip('no tmpfs may be mounted here: unshare(1) is refused')
    const pattern = `--test-name-pattern=^${RegExp.escape(title)}$`
    await succeed([...command, process.execPath, pattern, file, `--on-disk=${folder}`])
  })
}

const onDisk = /^--on-disk=(.+)$/

const script = 'mount -t tmpfs -o "$1" whittle-test "$2" && shift 2 && exec "$@"'
/** As root; else as root of a user namespace of its own (user_namespaces(7)). */
const mountings = ['-m', '-rm'].map((flags) => ['unshare', flags, 'sh', '-c', script, 'sh'])

function isAllowed([program = '', ...args]: readonly string[]): boolean {
  return spawnSync(program, [...args, 'true'], { stdio: 'ignore' }).status === 0
}

async function succeed([program = '', ...args]: readonly string[]): Promise<void> {
  // Else it would report to a runner that is not there.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  // By the channel it ends with this process, however that does.
  const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text) => {
      output += text
    })
  }
  const [code] = await once(child, 'close')
  assert.equal(code, 0, output)
}

const ballastOf = (disk: string): string => join(disk, 'test-ballast')

/** Takes every byte that is left, as another program would. */
export function fillDisk(disk: string): void {
  const handle = openSync(ballastOf(disk), 'a')
  const zeros = Buffer.alloc(2 ** 20)
  try {
    for (;;) writeSync(handle, zeros)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  } finally {
    closeSync(handle)
  }
}

/** Gives back what `fillDisk` has taken. */
export const freeDisk = (disk: string): Promise<void> => rm(ballastOf(disk), { force: true })
