import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { allowedNetworks } from './address-classes.js';
import { checkHookUrl, type HookPolicy, hostOf, refusalOfHost } from './hook-url.js';

const publicOnly: HookPolicy = { allowed: allowedNetworks([]), allowsAny: false };
const intranet: HookPolicy = { allowed: allowedNetworks(['10.0.0.0/8']), allowsAny: true };

function codeOf(text: string, policy = publicOnly): string {
  const checked = checkHookUrl(text, policy);
  return 'url' in checked ? 'sent' : checked.code;
}

const REFUSED: readonly (readonly [string, string])[] = [
  ['', 'URL_INVALID'],
  ['hooks.example.com', 'URL_INVALID'],
  ['//hooks.example.com', 'URL_INVALID'],
  ['https://', 'URL_INVALID'],
  ['https://exa mple.com/', 'URL_INVALID'],
  [' https://example.com/', 'URL_INVALID'],
  ['https://example.com/\r\nHost: inner', 'URL_INVALID'],
  ['https://exam\tple.com/', 'URL_INVALID'],
  ['https:\\\\example.com', 'URL_INVALID'],
  ['https://example.com\\@127.0.0.1/', 'URL_INVALID'],
  ['https://example.com/\u0000', 'URL_INVALID'],
  ['https://a..b.example.com/', 'URL_INVALID'],
  ['https://256.256.256.256/', 'URL_INVALID'],
  [`https://example.com/${'a'.repeat(2000)}`, 'URL_INVALID'],
  ['file:///etc/passwd', 'URL_SCHEME'],
  ['gopher://example.com/', 'URL_SCHEME'],
  ['ftp://example.com/', 'URL_SCHEME'],
  ['javascript:alert(1)', 'URL_SCHEME'],
  ['data:text/plain,x', 'URL_SCHEME'],
  ['http://example.com/', 'URL_SCHEME'],
  ['HTTP://example.com/', 'URL_SCHEME'],
  ['https://user@example.com/', 'URL_CREDENTIALS'],
  ['https://user:secret@example.com/', 'URL_CREDENTIALS'],
  ['https://:secret@example.com/', 'URL_CREDENTIALS'],
  ['https://example.com@127.0.0.1/', 'URL_CREDENTIALS'],
  ['https://example.com/#part', 'URL_FRAGMENT'],
  ['https://example.com/#', 'URL_FRAGMENT'],
  ['https://example.com:80/', 'URL_PORT'],
  ['https://example.com:22/', 'URL_PORT'],
  ['https://example.com:5432/', 'URL_PORT'],
  ['https://localhost/', 'URL_NAME'],
  ['https://LOCALHOST/', 'URL_NAME'],
  ['https://localhost./', 'URL_NAME'],
  ['https://a.localhost/', 'URL_NAME'],
  ['https://printer.local/', 'URL_NAME'],
  ['https://metadata.google.internal/', 'URL_NAME'],
  ['https://metadata/', 'URL_NAME'],
  ['https://db.home.arpa/', 'URL_NAME'],
  ['https://ⓛocalhost/', 'URL_NAME'],
  ['https://127.0.0.1/', 'URL_ADDRESS'],
  ['https://127.1/', 'URL_ADDRESS'],
  ['https://127.0.0.1./', 'URL_ADDRESS'],
  ['https://2130706433/', 'URL_ADDRESS'],
  ['https://0x7f000001/', 'URL_ADDRESS'],
  ['https://0x7f.0.0.1/', 'URL_ADDRESS'],
  ['https://0177.0.0.1/', 'URL_ADDRESS'],
  ['https://017700000001/', 'URL_ADDRESS'],
  ['https://①②⑦.0.0.1/', 'URL_ADDRESS'],
  ['https://%31%32%37.0.0.1/', 'URL_ADDRESS'],
  ['https://0/', 'URL_ADDRESS'],
  ['https://0.0.0.0/', 'URL_ADDRESS'],
  ['https://10.0.0.1/', 'URL_ADDRESS'],
  ['https://172.16.0.1/', 'URL_ADDRESS'],
  ['https://192.168.0.1/', 'URL_ADDRESS'],
  ['https://100.64.0.1/', 'URL_ADDRESS'],
  ['https://169.254.169.254/latest/meta-data/', 'URL_ADDRESS'],
  ['https://0xa9fea9fe/', 'URL_ADDRESS'],
  ['https://2852039166/', 'URL_ADDRESS'],
  ['https://255.255.255.255/', 'URL_ADDRESS'],
  ['https://224.0.0.1/', 'URL_ADDRESS'],
  ['https://[::]/', 'URL_ADDRESS'],
  ['https://[::1]/', 'URL_ADDRESS'],
  ['https://[0:0:0:0:0:0:0:1]/', 'URL_ADDRESS'],
  ['https://[::ffff:127.0.0.1]/', 'URL_ADDRESS'],
  ['https://[::ffff:7f00:1]/', 'URL_ADDRESS'],
  ['https://[::127.0.0.1]/', 'URL_ADDRESS'],
  ['https://[64:ff9b::127.0.0.1]/', 'URL_ADDRESS'],
  ['https://[2002:7f00:1::]/', 'URL_ADDRESS'],
  ['https://[2001:0:0:0:0:0:80ff:fffe]/', 'URL_ADDRESS'],
  ['https://[fe80::1]/', 'URL_ADDRESS'],
  ['https://[fd00:ec2::254]/', 'URL_ADDRESS'],
  ['https://[fc00::1]/', 'URL_ADDRESS'],
  ['https://[ff02::1]/', 'URL_ADDRESS'],
  ['https://[2001:db8::1]/', 'URL_ADDRESS'],
];

describe('the URL of a webhook (S-6)', () => {
  it.each(REFUSED)('S-6 %j is refused: %s', (text, code) => {
    expect(codeOf(text)).toBe(code);
  });

  it.each([
    'https://hooks.example.com/pennon',
    'https://hooks.example.com./pennon?tenant=1',
    'https://example.com:8443/',
    'https://example.com:443/',
    'https://1.1.1.1/',
    'https://[2606:4700:4700::1111]/',
    'https://bücher.example/',
    'https://localhost.example.com/',
    'https://my.localised.example/',
  ])('S-6 %s may be sent to', (text) => {
    expect(codeOf(text)).toBe('sent');
  });

  it('S-6 every IPv4 address is judged alike, however it is written', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), (value) => {
        const parts = [24, 16, 8, 0].map((shift) => (value >>> shift) & 255);
        const ways = [
          parts.join('.'),
          String(value),
          `0x${value.toString(16)}`,
          parts.map((part) => `0${part.toString(8)}`).join('.'),
          `${parts[0]}.${value & 0xff_ffff}`,
        ];
        expect(new Set(ways.map((way) => codeOf(`https://${way}/`))).size).toBe(1);
      }),
    );
  });

  it('S-6 with a network allowed, a name in clear at any port waits for what it resolves to', () => {
    expect(codeOf('http://hooks.internal:8080/', intranet)).toBe('sent');
    expect(codeOf('http://10.1.2.3:8080/', intranet)).toBe('sent');
    expect(codeOf('http://192.168.1.1:8080/', intranet)).toBe('URL_ADDRESS');
    // In clear nothing public is reached, allowed network or not.
    expect(codeOf('http://1.1.1.1/', intranet)).toBe('URL_ADDRESS');
    expect(codeOf('https://1.1.1.1:5432/', intranet)).toBe('URL_ADDRESS');
    expect(codeOf('https://1.1.1.1/', intranet)).toBe('sent');
    const inClear = new URL('http://hooks.internal/');
    expect(refusalOfHost(inClear, '10.1.2.3', intranet)).toBeNull();
    expect(refusalOfHost(inClear, '1.1.1.1', intranet)).toBe('not-allowed-in-clear');
    expect(refusalOfHost(inClear, '127.0.0.1', intranet)).toBe('loopback');
    expect(refusalOfHost(new URL('https://hooks.example.com/'), '1.1.1.1', intranet)).toBeNull();
  });

  it('names the host as sockets take it', () => {
    expect(hostOf(new URL('https://[::1]/'))).toBe('::1');
    expect(hostOf(new URL('https://example.com./'))).toBe('example.com');
  });
});
