/** Webhooks as callers follow them: what was sent for a job, and every try. */
import { type Static, Type } from 'typebox'
import { webhookEvents } from './job.ts'

/** Where webhooks may lead: to public addresses over https, or anywhere. */
export const webhookTargets = ['public', 'any'] as const
export type WebhookTargets = (typeof webhookTargets)[number]

/** A secret of Standard Webhooks 1.0: `whsec_`, then 24 to 64 bytes in base64. */
export const webhookSecretPattern =
  'whsec_([A-Za-z0-9+/]{4}){8,21}([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?'

export const deliveryStates = ['pending', 'delivered', 'failed'] as const
export type DeliveryState = (typeof deliveryStates)[number]

const DeliveryAttempt = Type.Object(
  {
    at: Type.String(),
    status: Type.Union([Type.Integer(), Type.Null()], {
      description: 'HTTP status of the answer; null when there was none'
    }),
    error: Type.Union([Type.String(), Type.Null()], {
      description: 'Why the try does not count as delivered'
    }),
    durationMs: Type.Integer({ minimum: 0 })
  },
  { $id: 'DeliveryAttempt' }
)

/** One message: the same id and the same bytes at every try. */
export const Delivery = Type.Object(
  {
    id: Type.String({ description: 'The `webhook-id` of the message' }),
    event: Type.Enum(webhookEvents),
    url: Type.String(),
    state: Type.Enum(deliveryStates),
    nextAt: Type.Union([Type.String(), Type.Null()], {
      description: 'When it is tried (again); null once it is not'
    }),
    attempts: Type.Array(DeliveryAttempt, { description: 'The newest hundred, oldest first' }),
    createdAt: Type.String()
  },
  { $id: 'Delivery' }
)
export type Delivery = Static<typeof Delivery>
