/** The api's table of contents: every plugin and every route, in the order in which they apply. */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import Fastify, { type FastifyBaseLogger, type FastifyInstance } from 'fastify'
import type { ApiKey } from '../config.ts'
import { bodies } from './plugins/bodies.ts'
import { notFound } from './plugins/not-found.ts'
import { problems, refuseConnection, sendProblem } from './plugins/problem.ts'
import { shutdown } from './plugins/shutdown.ts'
import { validatorCompiler } from './validation.ts'

export type AppDeps = Record<never, never>

export interface AppOptions {
  readonly apiKeys: readonly ApiKey[]
  readonly workerToken: string | null
  readonly logger?: FastifyBaseLogger
}

/** Bytes of a JSON body; routes that take files state their own. */
const bodyLimit = 1024 * 1024

export async function buildApp(_deps: AppDeps, options: AppOptions): Promise<FastifyInstance> {
  const app: FastifyInstance = Fastify({
    ...(options.logger === undefined ? {} : { loggerInstance: options.logger }),
    bodyLimit,
    // An upload of gigabytes takes its time, but a connection on which nothing moves is closed.
    requestTimeout: 3_600_000,
    connectionTimeout: 120_000,
    keepAliveTimeout: 65_000,
    genReqId: requestId,
    routerOptions: { maxParamLength: 300 },
    return503OnClosing: false,
    frameworkErrors: sendProblem,
    clientErrorHandler: refuseConnection
  })
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(() => (payload) => JSON.stringify(payload))
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id)
  })

  problems(app)
  notFound(app)
  shutdown(app)
  bodies(app)

  return app
}

/** The caller's own id when it is harmless in a log, else a new one. */
function requestId(request: IncomingMessage): string {
  const given = request.headers['x-request-id']
  return typeof given === 'string' && /^[\w.-]{1,64}$/.test(given) ? given : randomUUID()
}
