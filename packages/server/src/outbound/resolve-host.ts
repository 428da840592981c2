import { Resolver } from 'node:dns/promises';
import { isIP } from 'node:net';

/** All addresses of a name. Rejects where there is none. */
export type ResolveHost = (host: string) => Promise<readonly string[]>;

const TIMEOUT_MILLISECONDS = 2000;
const TRIES = 2;

/**
 * Asks the name servers, and not `getaddrinfo`: that blocks one of the four threads which the files of this process need too, so that a
 * name server which does not answer for one listener would hold up all of them. The hosts file is not asked.
 */
export function createHostResolver(): ResolveHost {
  const resolver = new Resolver({ timeout: TIMEOUT_MILLISECONDS, tries: TRIES });
  return async (host) => {
    if (isIP(host) !== 0) return [host];
    // RFC 6761: never asked of a name server.
    if (host === 'localhost' || host.endsWith('.localhost')) return ['127.0.0.1', '::1'];
    const found = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]);
    const addresses = found.flatMap((one) => (one.status === 'fulfilled' ? one.value : []));
    if (addresses.length > 0) return addresses;
    const failed = found.find((one) => one.status === 'rejected');
    throw failed?.reason ?? new Error(`The name \`${host}\` has no address.`);
  };
}
