/**
 * Resolves the name in a webhook's URL and judges every address, for the socket that then connects.
 *
 * The check is made here, where the connection takes its address from, because a name that was looked
 * up twice can answer differently the second time (DNS rebinding).
 */
import { lookup } from 'node:dns/promises'
import type { LookupFunction } from 'node:net'
import type { WebhookTargets } from '../contract/delivery.ts'
import { ServiceError } from '../errors.ts'
import { isPublicAddress } from './address.ts'

interface ResolvedAddress {
  readonly address: string
  readonly family: number
}

/** All addresses of a name. */
export type Resolve = (hostname: string) => Promise<readonly ResolvedAddress[]>

export const systemResolve: Resolve = (hostname) => lookup(hostname, { all: true })

/** A `lookup` for sockets: the addresses of a name, unless one of them may not be called. */
export function checkedLookup(targets: WebhookTargets, resolve: Resolve): LookupFunction {
  return (hostname, options, callback) => {
    checkedAddresses(hostname, targets, resolve).then(
      ([first, ...others]) => {
        if (options.all) callback(null, [first, ...others])
        else callback(null, first.address, first.family)
      },
      (error: Error) => callback(error, '')
    )
  }
}

async function checkedAddresses(
  hostname: string,
  targets: WebhookTargets,
  resolve: Resolve
): Promise<[ResolvedAddress, ...ResolvedAddress[]]> {
  const [first, ...others] = await resolve(hostname)
  if (first === undefined) throw new Error(`Cannot call ${hostname}: the name has no address`)
  const addresses: [ResolvedAddress, ...ResolvedAddress[]] = [first, ...others]
  if (targets === 'any' || addresses.every(({ address }) => isPublicAddress(address))) {
    return addresses
  }
  // Which address it is stays here: callers are not to learn what names mean inside this network.
  throw new ServiceError('WEBHOOK_ADDRESS_REFUSED', {
    detail: `Cannot call ${hostname}: it resolves to an address that is not public`
  })
}
