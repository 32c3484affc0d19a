/**
 * Which addresses a webhook may lead to.
 *
 * A URL that callers choose must not reach what only this machine can reach (server-side request
 * forgery): metadata services, loopback, private networks. The URL is judged when a job is posted;
 * what a name resolves to can change at any time and is judged at every connection (`resolve.ts`).
 */
import { isIP, isIPv6 } from 'node:net'
import ipaddr from 'ipaddr.js'
import type { WebhookTargets } from '../contract/delivery.ts'

/**
 * Why a URL may not be called, as the end of a sentence that begins with its name; null when it may.
 *
 * The WHATWG parser has brought addresses into their usual form by then: `https://0x7f.1/` and
 * `https://2130706433/` are `https://127.0.0.1/`, and a zone id is no address at all.
 */
export function urlFault(text: string, targets: WebhookTargets): string | null {
  if (!URL.canParse(text)) return 'must be a URL such as https://hooks.example.org/whittle'
  const url = new URL(text)
  if (url.username !== '' || url.password !== '') return 'must not hold a user name or a password'
  if (targets === 'any') return isWeb(url) ? null : 'must begin with https:// or http://'
  if (url.protocol !== 'https:') return `must begin with https://${unlessAny}`
  return isLocalName(url.hostname) || isPrivateLiteral(url)
    ? `must lead to a public address${unlessAny}`
    : null
}

/** The address literal in a URL, without the brackets of RFC 3986; null when there is a name. */
function literalOf({ hostname }: URL): string | null {
  const bare = hostname.replace(/^\[(.*)\]$/, '$1')
  return isIP(bare) === 0 ? null : bare
}

/**
 * Whether an address is a unicast one that anybody on the internet could reach.
 *
 * Everything that the registries of RFC 6890 set aside is not, and neither are addresses that carry an
 * IPv4 address to a translator (NAT64, 6to4, Teredo). An IPv4-mapped IPv6 address is the IPv4 address.
 */
export function isPublicAddress(text: string): boolean {
  // A zone id belongs to addresses of one link only.
  if (isIP(text) === 0 || text.includes('%')) return false
  const address = ipaddr.process(isIPv6(text) ? inHexadecimal(text) : text)
  if (address.range() !== 'unicast') return false
  // IANA has given out unicast addresses of 2000::/3 only (RFC 4291 section 2.4).
  return address.kind() === 'ipv4' || address.match(globalUnicast)
}

/** ipaddr.js reads `::8.8.8.8`, which is IPv4-compatible, as if it were `::ffff:8.8.8.8`. */
const inHexadecimal = (ipv6: string): string => new URL(`https://[${ipv6}]/`).hostname.slice(1, -1)

const globalUnicast = ipaddr.parseCIDR('2000::/3')
const unlessAny = ' (only WHITTLE_WEBHOOK_TARGETS=any allows others)'

const isWeb = ({ protocol }: URL): boolean => protocol === 'https:' || protocol === 'http:'

/** Names of this machine (RFC 6761 section 6.3), with or without the root's full stop. */
const isLocalName = (hostname: string): boolean => /(^|\.)localhost\.?$/.test(hostname)

function isPrivateLiteral(url: URL): boolean {
  const literal = literalOf(url)
  return literal !== null && !isPublicAddress(literal)
}
