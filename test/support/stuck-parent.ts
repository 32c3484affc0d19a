/** Forks a stuck child and tells its number. Forked by a test, which then kills it. */
import { fork } from 'node:child_process'

const child = fork(new URL('./stuck-child.ts', import.meta.url))
child.once('message', () => process.send?.(child.pid))
