/** Opens tracing as the environment has it; without a collector, nothing of it is loaded. */
import type { Logger } from 'pino'
import { ConfigError } from '../config.ts'
import { readTraceSettings } from '../trace/settings.ts'
import { noTracing, type Tracing } from '../trace/tracing.ts'
import { outageLog } from './outage-log.ts'
import { serviceVersion } from './version.ts'

/** @throws ConfigError naming every variable that cannot be used */
export async function openTracing(role: 'api' | 'worker', log: Logger): Promise<Tracing> {
  const { settings, faults } = readTraceSettings(process.env)
  if (faults.length > 0) throw new ConfigError(faults)
  if (settings === null) return noTracing
  const { otlpTracing } = await import('../trace/otlp-tracing.ts')
  const { protocol, sampler } = settings
  log.info({ protocol, sampler }, 'traces are sent to a collector')
  return otlpTracing({
    settings,
    service: `whittle-${role}`,
    version: serviceVersion(),
    onError: outageLog(log, 'traces')
  })
}
