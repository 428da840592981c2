import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Address,
  type AddressClass,
  allowedNetworks,
  carriedAddress,
  classifyAddress,
  classifyText,
  isInNetwork,
  parseAddress,
  parseNetwork,
  refusalOfAddress,
} from './address-classes.js';

/** Both ends of each network, and what lies beside them. */
const CASES: readonly (readonly [string, AddressClass])[] = [
  ['0.0.0.0', 'this-network'],
  ['0.255.255.255', 'this-network'],
  ['1.0.0.0', 'public'],
  ['9.255.255.255', 'public'],
  ['10.0.0.0', 'private'],
  ['10.255.255.255', 'private'],
  ['11.0.0.0', 'public'],
  ['100.63.255.255', 'public'],
  ['100.64.0.0', 'shared'],
  ['100.100.100.200', 'metadata'],
  ['100.127.255.255', 'shared'],
  ['100.128.0.0', 'public'],
  ['126.255.255.255', 'public'],
  ['127.0.0.1', 'loopback'],
  ['127.255.255.255', 'loopback'],
  ['128.0.0.0', 'public'],
  ['168.63.129.16', 'metadata'],
  ['168.63.129.17', 'public'],
  ['169.253.255.255', 'public'],
  ['169.254.0.0', 'link-local'],
  ['169.254.169.254', 'metadata'],
  ['169.254.170.2', 'metadata'],
  ['169.254.170.23', 'metadata'],
  ['169.254.255.255', 'link-local'],
  ['169.255.0.0', 'public'],
  ['172.15.255.255', 'public'],
  ['172.16.0.0', 'private'],
  ['172.31.255.255', 'private'],
  ['172.32.0.0', 'public'],
  ['191.255.255.255', 'public'],
  ['192.0.0.0', 'protocol'],
  ['192.0.0.192', 'metadata'],
  ['192.0.0.255', 'protocol'],
  ['192.0.1.0', 'public'],
  ['192.0.2.0', 'documentation'],
  ['192.0.2.255', 'documentation'],
  ['192.0.3.0', 'public'],
  ['192.31.196.1', 'protocol'],
  ['192.52.193.1', 'protocol'],
  ['192.88.99.1', 'reserved'],
  ['192.167.255.255', 'public'],
  ['192.168.0.0', 'private'],
  ['192.168.255.255', 'private'],
  ['192.169.0.0', 'public'],
  ['192.175.48.1', 'protocol'],
  ['198.17.255.255', 'public'],
  ['198.18.0.0', 'benchmarking'],
  ['198.19.255.255', 'benchmarking'],
  ['198.20.0.0', 'public'],
  ['198.51.99.255', 'public'],
  ['198.51.100.0', 'documentation'],
  ['198.51.101.0', 'public'],
  ['203.0.113.0', 'documentation'],
  ['203.0.114.0', 'public'],
  ['223.255.255.255', 'public'],
  ['224.0.0.0', 'multicast'],
  ['239.255.255.255', 'multicast'],
  ['240.0.0.0', 'reserved'],
  ['255.255.255.254', 'reserved'],
  ['255.255.255.255', 'broadcast'],
  ['::', 'unspecified'],
  ['::1', 'loopback'],
  ['::2', 'this-network'],
  ['::127.0.0.1', 'loopback'],
  ['::10.0.0.1', 'private'],
  ['::8.8.8.8', 'translated'],
  ['::ffff:127.0.0.1', 'loopback'],
  ['::ffff:7f00:1', 'loopback'],
  ['0:0:0:0:0:ffff:a9fe:a9fe', 'metadata'],
  ['::ffff:10.1.2.3', 'private'],
  ['::ffff:0.0.0.0', 'this-network'],
  ['::ffff:8.8.8.8', 'translated'],
  ['::ffff:0:127.0.0.1', 'loopback'],
  ['64:ff9b::127.0.0.1', 'loopback'],
  ['64:ff9b::a9fe:a9fe', 'metadata'],
  ['64:ff9b::8.8.8.8', 'translated'],
  ['64:ff9b:1::10.0.0.1', 'private'],
  ['64:ff9b:1:ffff::808:808', 'translated'],
  ['64:ff9b:2::1', 'unallocated'],
  ['100::', 'reserved'],
  ['100::ffff', 'reserved'],
  ['100:0:0:1::', 'unallocated'],
  ['2001::', 'broadcast'],
  // Teredo of a client at 127.0.0.1, inverted.
  ['2001:0:4136:e378:8000:63bf:80ff:fffe', 'loopback'],
  ['2001:0:4136:e378:8000:63bf:f7f7:f7f7', 'translated'],
  ['2001:2::1', 'benchmarking'],
  ['2001:10::1', 'protocol'],
  ['2001:20::1', 'protocol'],
  ['2001:1ff:ffff::1', 'protocol'],
  ['2001:200::', 'public'],
  ['2001:db7:ffff::1', 'public'],
  ['2001:db8::', 'documentation'],
  ['2001:db8:ffff:ffff::1', 'documentation'],
  ['2001:db9::', 'public'],
  ['2002:7f00:1::', 'loopback'],
  ['2002:a9fe:a9fe::1', 'metadata'],
  ['2002:c0a8:101::1', 'private'],
  ['2002:808:808::1', 'translated'],
  ['2606:4700:4700::1111', 'public'],
  ['2a00:1450:4001::1', 'public'],
  ['1fff:ffff::1', 'unallocated'],
  ['2000::', 'public'],
  ['3ffe:ffff::1', 'public'],
  ['3fff::1', 'documentation'],
  ['3fff:fff:ffff::1', 'documentation'],
  ['3fff:1000::1', 'public'],
  ['4000::', 'unallocated'],
  ['5f00::1', 'reserved'],
  ['fbff:ffff::1', 'unallocated'],
  ['fc00::', 'unique-local'],
  ['fd00:ec2::254', 'metadata'],
  ['fd20:ce::254', 'metadata'],
  ['fdff:ffff::1', 'unique-local'],
  ['fe00::1', 'unallocated'],
  ['fe80::1', 'link-local'],
  ['febf:ffff::1', 'link-local'],
  ['fec0::1', 'site-local'],
  ['feff::1', 'site-local'],
  ['ff00::', 'multicast'],
  ['ff02::1', 'multicast'],
  ['ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 'multicast'],
];

const MALFORMED = [
  '',
  'localhost',
  '127.1',
  '2130706433',
  '0x7f.0.0.1',
  '0177.0.0.1',
  '127.0.0.01',
  '127.0.0.1.',
  ' 127.0.0.1',
  '256.1.1.1',
  '[::1]',
  '::1%lo',
  'fe80::1%eth0',
  '::ffff:127.0.0.256',
  '1::2::3',
  '12345::',
  '10.0.0.0/8',
];

const PUBLIC_ONLY = allowedNetworks([]);

const four = fc.integer({ min: 0, max: 0xffff_ffff }).map(BigInt);
const dotted = (value: bigint) =>
  [24n, 16n, 8n, 0n].map((shift) => String((value >> shift) & 255n)).join('.');
const groups = fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: 8, maxLength: 8 });
const toGroups = (value: bigint) =>
  Array.from({ length: 8 }, (_, index) => Number((value >> BigInt(112 - index * 16)) & 0xffffn));
const inHex = (parts: readonly number[]) => parts.map((part) => part.toString(16)).join(':');

describe('the class of an address (S-6)', () => {
  it.each(CASES)('S-6 %s is %s', (text, kind) => {
    expect(classifyText(text)).toBe(kind);
    expect(refusalOfAddress(text, PUBLIC_ONLY)).toBe(kind === 'public' ? null : kind);
  });

  it.each(MALFORMED)('S-6 %j is no address that anybody connects to', (text) => {
    expect(parseAddress(text)).toBeNull();
    expect(refusalOfAddress(text, allowedNetworks(['0.0.0.0/0', '::/0']))).toBe('malformed');
  });

  it('S-6 every form of IPv6 that carries an address of IPv4 is as closed as that one', () => {
    const carriers: readonly ((value: bigint) => bigint)[] = [
      (value) => 0xffff_0000_0000n | value,
      (value) => (0xffff_0000n << 32n) | value,
      (value) => value,
      (value) => (0x64_ff9bn << 96n) | value,
      (value) => (0x64_ff9b_0001n << 80n) | value,
      (value) => (0x2002n << 112n) | (value << 80n),
      (value) => (0x2001_0000n << 96n) | (value ^ 0xffff_ffffn),
    ];
    fc.assert(
      fc.property(four, fc.constantFrom(...carriers), (value, carry) => {
        const address: Address = { bits: 128, value: carry(value) };
        expect(classifyAddress(address)).not.toBe('public');
        // Of the compatible form, `::` and `::1` are addresses of their own.
        if (address.value < 2n) return;
        expect(carriedAddress(address)).toEqual({ bits: 32, value });
        const inside = classifyAddress({ bits: 32, value });
        expect(classifyAddress(address)).toBe(inside === 'public' ? 'translated' : inside);
      }),
    );
  });

  it('S-6 nothing outside of 2000::/3 is public, and of it nothing that is set aside', () => {
    fc.assert(
      fc.property(groups, (parts) => {
        const kind = classifyText(inHex(parts));
        const [first = 0, second = 0] = parts;
        if (first < 0x2000 || first > 0x3fff) expect(kind).not.toBe('public');
        else if (first !== 0x2001 && first !== 0x2002 && first !== 0x3fff) expect(kind).toBe('public');
        else if (first === 0x2002 || second < 0x200) expect(kind).not.toBe('public');
      }),
    );
  });
});

describe('reading an address', () => {
  it('gives the same bits for every way to write it', () => {
    fc.assert(
      fc.property(groups, fc.nat({ max: 7 }), fc.nat({ max: 8 }), (parts, start, length) => {
        const end = Math.min(8, start + length);
        const zeroed = parts.map((part, index) => (index >= start && index < end ? 0 : part));
        const long = inHex(zeroed);
        const value = zeroed.reduce((sum, part) => (sum << 16n) | BigInt(part), 0n);
        const texts = [
          long,
          long.toUpperCase(),
          zeroed.map((part) => part.toString(16).padStart(4, '0')).join(':'),
        ];
        if (end - start > 1) texts.push(`${inHex(zeroed.slice(0, start))}::${inHex(zeroed.slice(end))}`);
        texts.push(`${inHex(zeroed.slice(0, 6))}:${dotted(value & 0xffff_ffffn)}`);
        for (const text of texts) expect(parseAddress(text), text).toEqual({ bits: 128, value });
        expect(toGroups(value)).toEqual(zeroed);
      }),
    );
  });

  it('gives the bits of a dotted one', () => {
    fc.assert(
      fc.property(four, (value) => {
        expect(parseAddress(dotted(value))).toEqual({ bits: 32, value });
      }),
    );
  });
});

describe('networks that the configuration allows (S-6)', () => {
  it.each(['10.0.0.1/8', '10.0.0.0/33', 'fd00::/129', '10.0.0.0/', '10.0.0.0/8/8', 'intranet', 'fd00::1/8'])(
    'S-6 %s is none',
    (text) => {
      expect(parseNetwork(text)).toBeNull();
      expect(() => allowedNetworks(['10.0.0.0/8', text])).toThrow(RangeError);
    },
  );

  it('S-6 open what lies in them and nothing else', () => {
    const allowed = allowedNetworks(['10.1.0.0/16', 'fd12:3456::/32', '127.0.0.1']);
    const answers = ['10.1.0.0', '10.1.255.255', '::ffff:10.1.2.3', 'fd12:3456::1', '127.0.0.1'];
    for (const text of answers) expect(refusalOfAddress(text, allowed), text).toBeNull();
    expect(refusalOfAddress('10.2.0.0', allowed)).toBe('private');
    expect(refusalOfAddress('fd12:3457::1', allowed)).toBe('unique-local');
    expect(refusalOfAddress('127.0.0.2', allowed)).toBe('loopback');
    // Through a translator it is another way, which nobody allowed.
    expect(refusalOfAddress('64:ff9b::10.1.2.3', allowed)).toBe('private');
    expect(refusalOfAddress('2002:a01:203::1', allowed)).toBe('private');
  });

  it('S-6 never open by a wide network where a platform gives out its credentials', () => {
    const everything = allowedNetworks(['0.0.0.0/0', '::/0']);
    expect(refusalOfAddress('192.168.1.1', everything)).toBeNull();
    for (const text of ['169.254.169.254', '::ffff:169.254.169.254', '64:ff9b::a9fe:a9fe', 'fd00:ec2::254']) {
      expect(refusalOfAddress(text, everything), text).toBe('metadata');
    }
    expect(refusalOfAddress('169.254.169.254', allowedNetworks(['169.254.169.254']))).toBeNull();
  });

  it('S-6 hold exactly the addresses that share their first bits', () => {
    fc.assert(
      fc.property(four, four, fc.integer({ min: 0, max: 32 }), (base, value, prefix) => {
        const free = BigInt(32 - prefix);
        const network = { bits: 32 as const, value: (base >> free) << free, prefix };
        expect(isInNetwork({ bits: 32, value }, network)).toBe(value >> free === base >> free);
        expect(isInNetwork({ bits: 128, value }, network)).toBe(false);
        expect(parseNetwork(`${dotted(network.value)}/${prefix}`)).toEqual(network);
      }),
    );
  });
});
