/** `/v1/storage`: what the data folder takes, and what room is left. */
import type { FastifyInstance } from 'fastify'
import { StorageUse } from '../../contract/storage.ts'
import { reportStorage, type StorageReportOptions } from '../../service/storage-report.ts'

export async function storageRoutes(app: FastifyInstance, options: StorageReportOptions) {
  app.get(
    '/',
    {
      schema: {
        operationId: 'getStorage',
        tags: ['service'],
        summary: 'Bytes used, by what for, and what room is left',
        response: { 200: StorageUse }
      }
    },
    () => reportStorage(options)
  )
}
