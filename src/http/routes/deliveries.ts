/** `/v1/jobs/{id}/deliveries`: what was sent about a job to its webhook, and sending it again. */
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { jobDeliveries, redeliver } from '../../catalog/deliveries.ts'
import { getJob } from '../../catalog/jobs.ts'
import type { Catalog } from '../../catalog/open.ts'
import { Delivery } from '../../contract/delivery.ts'
import type { Deliverer } from '../../service/deliverer.ts'
import { problemResponses } from '../responses.ts'

export interface DeliveryRoutesOptions {
  readonly db: Catalog
  readonly deliverer: Pick<Deliverer, 'wake'>
}

const Id = Type.String({ minLength: 1, maxLength: 100 })
const DeliveryList = Type.Object({ items: Type.Array(Delivery) }, { $id: 'DeliveryList' })

const tags = ['jobs']

export async function deliveryRoutes(instance: FastifyInstance, options: DeliveryRoutesOptions) {
  const app = instance.withTypeProvider<TypeBoxTypeProvider>()
  const { db, deliverer } = options

  app.get(
    '/',
    {
      schema: {
        operationId: 'listDeliveries',
        tags,
        summary: 'What was sent to the webhook of a job, with every try',
        params: Type.Object({ id: Id }),
        response: { 200: DeliveryList, ...problemResponses(404) }
      }
    },
    async (request) => {
      const { id } = await getJob(db, request.params.id)
      return { items: await jobDeliveries(db, id) }
    }
  )

  app.post(
    '/:delivery/redeliver',
    {
      schema: {
        operationId: 'redeliver',
        tags,
        summary: 'Send a message again, with the same id and the same bytes',
        params: Type.Object({ id: Id, delivery: Id }),
        response: { 202: Delivery, ...problemResponses(404) }
      }
    },
    async (request, reply) => {
      const { id } = await getJob(db, request.params.id)
      const delivery = await redeliver(db, { job: id, delivery: request.params.delivery })
      deliverer.wake(delivery.id)
      return reply.code(202).send(delivery)
    }
  )
}
