import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isPublicAddress, urlFault } from '../../../src/webhook/address.ts'

const refusedAddresses = {
  'this host': ['0.0.0.0', '0.1.2.3', '::'],
  loopback: ['127.0.0.1', '127.255.255.254', '::1'],
  private: ['10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1', 'fc00::1', 'fd12:3456::1'],
  'link-local, cloud metadata among it': ['169.254.169.254', '169.254.0.1', 'fe80::1', 'febf::1'],
  'cloud metadata over IPv6': ['fd00:ec2::254'],
  'shared with a carrier': ['100.64.0.1', '100.127.255.255'],
  multicast: ['224.0.0.1', '239.255.255.250', 'ff02::1', 'ff0e::1'],
  broadcast: ['255.255.255.255'],
  reserved: ['240.0.0.1', '192.0.0.1', '192.88.99.1', 'fec0::1', '4000::1', '8000::1'],
  documentation: ['192.0.2.1', '198.51.100.1', '203.0.113.1', '2001:db8::1', '3fff::1'],
  benchmarks: ['198.18.0.1', '198.19.255.255', '2001:2::1'],
  'IPv4-mapped': ['::ffff:127.0.0.1', '::ffff:7f00:1', '::ffff:10.0.0.1', '::ffff:169.254.169.254'],
  'IPv4-compatible': ['::127.0.0.1', '::8.8.8.8', '::7f00:1'],
  'carries an IPv4 address': [
    '64:ff9b::127.0.0.1',
    '64:ff9b::8.8.8.8',
    '64:ff9b:1::a00:1',
    '2002:7f00:1::1',
    '2002:808:808::1',
    '2001:0:4136:e378:8000:63bf:3fff:fdd2',
    '::ffff:0:127.0.0.1'
  ],
  'with a zone': ['fe80::1%eth0', '2606:4700:4700::1111%eth0'],
  'no address': ['', 'localhost', '1.2.3', '1.2.3.4.5', '256.1.1.1', ':::', '8.8.8.8/32']
}

for (const [kind, addresses] of Object.entries(refusedAddresses)) {
  test(`isPublicAddress() refuses: ${kind}`, () => {
    for (const address of addresses) assert.equal(isPublicAddress(address), false, address)
  })
}

test('isPublicAddress() takes unicast addresses of the internet', () => {
  const taken = [
    '1.1.1.1',
    '8.8.8.8',
    '9.255.255.255',
    '11.0.0.0',
    '100.63.255.255',
    '100.128.0.0',
    '172.15.255.255',
    '172.32.0.0',
    '223.255.255.255',
    '2606:4700:4700::1111',
    '2a00:1450::1',
    '::ffff:8.8.8.8'
  ]
  for (const address of taken) assert.equal(isPublicAddress(address), true, address)
})

const fault = (url: string) => urlFault(url, 'public')

test('urlFault() takes https URLs of names and public addresses, on any port', () => {
  const taken = [
    'https://hooks.example.org/whittle?token=1',
    'https://hooks.example.org:8443/',
    'https://8.8.8.8/',
    'https://[2606:4700:4700::1111]:444/x',
    'https://127.0.0.1.example.org/',
    'https://notlocalhost/'
  ]
  for (const url of taken) assert.equal(fault(url), null, url)
})

test('urlFault() refuses every spelling of an address that is not public', () => {
  const refused = [
    'https://127.0.0.1/',
    'https://127.1/',
    'https://0x7f.0.0.1/',
    'https://0177.0.0.1/',
    'https://2130706433/',
    'https://0x7f000001/',
    'https://0/',
    'https://127.0.0.1./',
    'https://１２７.0.0.1/',
    'https://127%2e0%2e0%2e1/',
    'https://[::1]/',
    'https://[::ffff:127.0.0.1]/',
    'https://[::ffff:a9fe:a9fe]/',
    'https://[0:0:0:0:0:0:0:0]/',
    'https://169.254.169.254/latest/meta-data/',
    'https://localhost/',
    'https://LOCALHOST:8443/',
    'https://localhost./',
    'https://api.localhost/'
  ]
  for (const url of refused) assert.match(fault(url) ?? '', /public address/, url)
})

test('urlFault() refuses other schemes, credentials and what is no URL', () => {
  for (const url of ['http://hooks.example.org/', 'ftp://example.org/', 'file:///etc/passwd']) {
    assert.match(fault(url) ?? '', /begin with https/, url)
  }
  for (const targets of ['public', 'any'] as const) {
    for (const url of ['https://user:pass@example.org/', 'https://user@example.org/']) {
      assert.match(urlFault(url, targets) ?? '', /user name or a password/, url)
    }
    for (const url of ['', 'example.org', '/x', 'https://', 'https://[fe80::1%25eth0]/']) {
      assert.match(urlFault(url, targets) ?? '', /must be a URL/, url)
    }
  }
})

test('urlFault() lets http and private addresses through where any target is allowed', () => {
  for (const url of ['http://127.0.0.1:8080/', 'http://hooks/', 'https://[::1]/']) {
    assert.equal(urlFault(url, 'any'), null, url)
  }
  assert.match(urlFault('ftp://example.org/', 'any') ?? '', /http/)
})
