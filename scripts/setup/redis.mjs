/** A Redis server program for `npm start`, the demo and the tests; not asked for with REDIS_URL. */
import { provide, say, succeeds, which } from './system.mjs'

const programs = ['redis-server', 'valkey-server']

/** Makes sure that a server can be started. @throws SetupError saying how to install one */
export async function provideRedis() {
  if (process.env.REDIS_URL) return 'Redis at REDIS_URL'
  const present = programs.map((program) => which(program)).find(Boolean)
  if (present) return present
  const installed = await provide(programs, ['redis-server'], 'holds the queue')
  stopService()
  return installed
}

/** With systemd, Debian starts the server it installs; whittle runs its own, so nobody asked for that one. */
function stopService() {
  if (!which('systemctl') || !succeeds('systemctl', ['is-active', '--quiet', 'redis-server']))
    return
  if (succeeds('systemctl', ['disable', '--now', 'redis-server'])) return
  say('the package has started a Redis on port 6379: systemctl disable --now redis-server stops it')
}
