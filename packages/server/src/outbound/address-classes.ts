import { isIPv4, isIPv6 } from 'node:net';

/*
 * What kind of address a request would go to (S-6). Only what is allocated to the public may be reached unless the configuration says
 * otherwise: a network that is set aside tomorrow is refused today, where a list of what is private would let it through.
 */

/** `public` may be reached; everything else is a reason why not. */
export type AddressClass =
  | 'public'
  | 'this-network'
  | 'private'
  | 'shared'
  | 'loopback'
  | 'link-local'
  | 'metadata'
  | 'unique-local'
  | 'site-local'
  | 'protocol'
  | 'documentation'
  | 'benchmarking'
  | 'multicast'
  | 'broadcast'
  | 'reserved'
  | 'unallocated'
  | 'unspecified'
  | 'translated'
  | 'malformed';

/** An address as its bits; `bits` is 32 or 128. */
export interface Address {
  readonly bits: 32 | 128;
  readonly value: bigint;
}

interface Network extends Address {
  readonly prefix: number;
}

/** Of several that hold an address, the first one counts. IANA's registries of special-purpose addresses, and where clouds keep credentials. */
const NETWORKS: readonly (readonly [string, AddressClass])[] = [
  ['0.0.0.0/8', 'this-network'],
  ['10.0.0.0/8', 'private'],
  // Metadata of Alibaba Cloud stands in the shared range.
  ['100.100.100.200/32', 'metadata'],
  ['100.64.0.0/10', 'shared'],
  ['127.0.0.0/8', 'loopback'],
  ['169.254.169.254/32', 'metadata'],
  ['169.254.170.2/32', 'metadata'],
  ['169.254.170.23/32', 'metadata'],
  ['169.254.0.0/16', 'link-local'],
  ['172.16.0.0/12', 'private'],
  // Metadata of Oracle Cloud; the block is IANA's own.
  ['192.0.0.192/32', 'metadata'],
  ['192.0.0.0/24', 'protocol'],
  ['192.0.2.0/24', 'documentation'],
  ['192.31.196.0/24', 'protocol'],
  ['192.52.193.0/24', 'protocol'],
  // The relays of 6to4, which lead nobody knows where.
  ['192.88.99.0/24', 'reserved'],
  ['192.168.0.0/16', 'private'],
  ['192.175.48.0/24', 'protocol'],
  ['198.18.0.0/15', 'benchmarking'],
  ['198.51.100.0/24', 'documentation'],
  ['203.0.113.0/24', 'documentation'],
  // The platform's own services inside Azure, although the address is a public one.
  ['168.63.129.16/32', 'metadata'],
  ['224.0.0.0/4', 'multicast'],
  ['255.255.255.255/32', 'broadcast'],
  ['240.0.0.0/4', 'reserved'],
  ['::/128', 'unspecified'],
  ['::1/128', 'loopback'],
  ['fd00:ec2::254/128', 'metadata'],
  ['fd00:ec2::23/128', 'metadata'],
  ['fd20:ce::254/128', 'metadata'],
  ['fc00::/7', 'unique-local'],
  ['fe80::/10', 'link-local'],
  ['fec0::/10', 'site-local'],
  ['ff00::/8', 'multicast'],
  ['100::/64', 'reserved'],
  ['2001:db8::/32', 'documentation'],
  ['3fff::/20', 'documentation'],
  ['5f00::/16', 'reserved'],
  ['2001:2::/48', 'benchmarking'],
];

/** Forms of IPv6 that carry an address of IPv4 which the request would go to in the end. */
const CARRIERS: readonly (readonly [string, (address: bigint) => bigint])[] = [
  // Mapped and (deprecated) compatible.
  ['::ffff:0:0/96', lastBits],
  ['::ffff:0:0:0/96', lastBits],
  ['::/96', lastBits],
  // NAT64, the well-known prefix and the local one.
  ['64:ff9b::/96', lastBits],
  ['64:ff9b:1::/48', lastBits],
  // 6to4.
  ['2002::/16', (value) => (value >> 80n) & 0xffff_ffffn],
  // Teredo: the client's address, inverted.
  ['2001::/32', (value) => (value & 0xffff_ffffn) ^ 0xffff_ffffn],
];

/** What is given to the public of IPv6, but for the block of IETF's protocols in it. */
const GLOBAL_UNICAST = '2000::/3';
const PROTOCOL_ASSIGNMENTS = '2001::/23';

function lastBits(value: bigint): bigint {
  return value & 0xffff_ffffn;
}

/** `null`: not an address in a usual form. A zone (`%eth0`) is none: it says that the address is not everybody's. */
export function parseAddress(text: string): Address | null {
  if (isIPv4(text)) return { bits: 32, value: parseFour(text) };
  if (isIPv6(text) && !text.includes('%')) return { bits: 128, value: parseSix(text) };
  return null;
}

function parseFour(text: string): bigint {
  return text.split('.').reduce((value, part) => (value << 8n) | BigInt(part), 0n);
}

function parseSix(text: string): bigint {
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (dotted !== null) {
    const four = parseFour(dotted[2] ?? '');
    return parseSix(`${dotted[1]}${(four >> 16n).toString(16)}:${(four & 0xffffn).toString(16)}`);
  }
  const [head = '', tail] = text.split('::');
  const before = groupsOf(head);
  const after = tail === undefined ? [] : groupsOf(tail);
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => 0n);
  return [...before, ...zeros, ...after].reduce((value, group) => (value << 16n) | group, 0n);
}

function groupsOf(text: string): bigint[] {
  return text === '' ? [] : text.split(':').map((group) => BigInt(`0x${group}`));
}

/** `10.0.0.0/8`, `fd00::/8` or a single address; `null`: none of them, or with bits below its prefix. */
export function parseNetwork(text: string): Network | null {
  const [base = '', prefixText, ...more] = text.split('/');
  const address = parseAddress(base);
  if (address === null || more.length > 0) return null;
  const prefix = prefixText === undefined ? address.bits : toPrefix(prefixText, address.bits);
  if (prefix === null) return null;
  const network = { ...address, prefix };
  return (address.value & ((1n << BigInt(address.bits - prefix)) - 1n)) === 0n ? network : null;
}

function toPrefix(text: string, bits: number): number | null {
  return /^\d{1,3}$/.test(text) && Number(text) <= bits ? Number(text) : null;
}

export function isInNetwork(address: Address, network: Network): boolean {
  const free = BigInt(network.bits - network.prefix);
  return address.bits === network.bits && address.value >> free === network.value >> free;
}

function known(text: string): Network {
  const network = parseNetwork(text);
  if (network === null) throw new Error(`\`${text}\` is no network.`);
  return network;
}

const SPECIAL = NETWORKS.map(([text, kind]) => ({ network: known(text), kind }));
const CARRYING = CARRIERS.map(([text, carried]) => ({ network: known(text), carried }));
const GLOBAL = known(GLOBAL_UNICAST);
const PROTOCOLS = known(PROTOCOL_ASSIGNMENTS);

/** The address of IPv4 that one of IPv6 leads to; `null`: none. */
export function carriedAddress(address: Address): Address | null {
  if (address.bits === 32) return null;
  const carrier = CARRYING.find(({ network }) => isInNetwork(address, network));
  return carrier === undefined ? null : { bits: 32, value: carrier.carried(address.value) };
}

export function classifyAddress(address: Address): AddressClass {
  const special = SPECIAL.find(({ network }) => isInNetwork(address, network));
  if (special !== undefined) return special.kind;
  if (address.bits === 32) return 'public';
  const carried = carriedAddress(address);
  if (carried !== null) {
    const inside = classifyAddress(carried);
    // Also a public address is not reached through a translator that nobody here chose.
    return inside === 'public' ? 'translated' : inside;
  }
  if (isInNetwork(address, PROTOCOLS)) return 'protocol';
  return isInNetwork(address, GLOBAL) ? 'public' : 'unallocated';
}

export function classifyText(text: string): AddressClass {
  const address = parseAddress(text);
  return address === null ? 'malformed' : classifyAddress(address);
}

/** Networks that the configuration lets requests go to although they are not public. */
export interface AllowedNetworks {
  allows(address: Address): boolean;
}

/** @param texts as `parseNetwork` reads them; throws a RangeError at one that is none */
export function allowedNetworks(texts: readonly string[]): AllowedNetworks {
  const networks = texts.map((text) => {
    const network = parseNetwork(text);
    if (network === null) throw new RangeError(`\`${text}\` is not an address or a network.`);
    return network;
  });
  // Where a platform gives out its credentials is opened by its own name only, never by a wide network around it.
  const isMeant = (address: Address, { bits, prefix }: Network) =>
    prefix === bits || classifyAddress(address) !== 'metadata';
  const holds = (address: Address) =>
    networks.some((network) => isInNetwork(address, network) && isMeant(address, network));
  return {
    // A mapped address is the very address that it carries; the others lead through a translator, and are allowed by their own name only.
    allows(address) {
      const mapped =
        address.bits === 128 && address.value >> 32n === 0xffffn ? carriedAddress(address) : null;
      return holds(address) || (mapped !== null && holds(mapped));
    },
  };
}

/** Why a request may not go there; `null`: it may. */
export function refusalOfAddress(
  text: string,
  allowed: AllowedNetworks,
): Exclude<AddressClass, 'public'> | null {
  const address = parseAddress(text);
  if (address === null) return 'malformed';
  const kind = classifyAddress(address);
  return kind === 'public' || allowed.allows(address) ? null : kind;
}
