import { isIP } from 'node:net';
import { type AllowedNetworks, parseAddress, refusalOfAddress } from './address-classes.js';

/* Where a webhook may be sent to, as far as its URL says (S-6). What its name resolves to is checked when it is connected to. */

/** What the configuration opens besides the public internet. */
export interface HookPolicy {
  readonly allowed: AllowedNetworks;
  /** Whether `allowed` holds anything: without it a URL that only such a network may have is refused at once. */
  readonly allowsAny: boolean;
}

export type HookUrlRefusal = {
  readonly code:
    | 'URL_INVALID'
    | 'URL_SCHEME'
    | 'URL_CREDENTIALS'
    | 'URL_FRAGMENT'
    | 'URL_PORT'
    | 'URL_NAME'
    | 'URL_ADDRESS';
  /** What is wrong and what to do about it. */
  readonly message: string;
};

export type CheckedHookUrl = { readonly url: URL } | HookUrlRefusal;

/** The ports of the public internet that a webhook may go to; any of a network that is allowed. */
const PUBLIC_PORTS: ReadonlySet<string> = new Set(['', '443', '8443']);
export const URL_LENGTH = 2000;

/** Names that mean the machine or its network itself, whatever they resolve to. */
const INNER_NAMES = [
  'localhost',
  'local',
  'internal',
  'localdomain',
  'lan',
  'intranet',
  'home.arpa',
  'onion',
];

function refusal(code: HookUrlRefusal['code'], message: string): HookUrlRefusal {
  return { code, message };
}

/** Whether only a network that the configuration allows may be connected to: in clear, or at an unusual port. */
export function needsAllowedNetwork(url: URL): boolean {
  return url.protocol !== 'https:' || !PUBLIC_PORTS.has(url.port);
}

/** The name or address as a resolver and a socket take it: without the brackets of IPv6 and without the dot at the end. */
export function hostOf(url: URL): string {
  const { hostname } = url;
  return hostname.startsWith('[') ? hostname.slice(1, -1) : hostname.replace(/\.$/, '');
}

export function isInnerName(host: string): boolean {
  const name = host.toLowerCase();
  return INNER_NAMES.some((inner) => name === inner || name.endsWith(`.${inner}`));
}

/** Without asking anybody: the same at create, at change, at a test and before each attempt. */
export function checkHookUrl(text: string, policy: HookPolicy): CheckedHookUrl {
  // A parser of URLs drops tabs and line ends in silence: what was checked would not be what was written.
  const isPlain = text.length <= URL_LENGTH && !/[\s\\\p{Cc}]/u.test(text);
  if (!isPlain || !URL.canParse(text)) {
    return refusal(
      'URL_INVALID',
      `The \`url\` is not one, or is longer than ${URL_LENGTH} characters. Write it as \`https://hooks.example.com/pennon\`.`,
    );
  }
  const url = new URL(text);
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    return refusal('URL_SCHEME', 'The `url` must begin with `https://`.');
  }
  if (url.username !== '' || url.password !== '') {
    return refusal(
      'URL_CREDENTIALS',
      'The `url` must not hold a name or password: it is shown and logged. The signature says who sends.',
    );
  }
  if (url.hash !== '' || text.includes('#')) {
    return refusal('URL_FRAGMENT', 'The `url` must have no `#`: that part is never sent.');
  }
  return refuseScheme(url, policy) ?? refuseHost(url, policy) ?? { url };
}

function refuseScheme(url: URL, { allowsAny }: HookPolicy): HookUrlRefusal | null {
  if (allowsAny || !needsAllowedNetwork(url)) return null;
  if (url.protocol !== 'https:') {
    return refusal(
      'URL_SCHEME',
      'The `url` must begin with `https://`. In clear only networks are reached that `PENNON_WEBHOOK_NETWORKS` names.',
    );
  }
  return refusal(
    'URL_PORT',
    `The port \`${url.port}\` is not reached: 443 and 8443 are, others only in networks that \`PENNON_WEBHOOK_NETWORKS\` names.`,
  );
}

function refuseHost(url: URL, policy: HookPolicy): HookUrlRefusal | null {
  const host = hostOf(url);
  if (isIP(host) !== 0) {
    const why = refusalOfHost(url, host, policy);
    return why === null
      ? null
      : refusal(
          'URL_ADDRESS',
          `The address \`${host}\` is not reached (${why}). Name a public one, or allow its network with \`PENNON_WEBHOOK_NETWORKS\`.`,
        );
  }
  if (host === '' || host.length > 253 || host.includes('..')) {
    return refusal('URL_INVALID', 'The `url` names no host.');
  }
  // With a network allowed, what the name resolves to decides.
  if (!policy.allowsAny && (isInnerName(host) || !host.includes('.'))) {
    return refusal(
      'URL_NAME',
      `The name \`${host}\` is one of an inner network. Name a public host, or allow its network with \`PENNON_WEBHOOK_NETWORKS\`.`,
    );
  }
  return null;
}

/** Why a connection for this URL may not go to this address; `null`: it may. */
export function refusalOfHost(url: URL, address: string, { allowed }: HookPolicy): string | null {
  const why = refusalOfAddress(address, allowed);
  if (why !== null) return why;
  if (!needsAllowedNetwork(url)) return null;
  const parsed = parseAddress(address);
  return parsed !== null && allowed.allows(parsed) ? null : 'not-allowed-in-clear';
}
