import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import { isIP, type LookupFunction, type Socket } from 'node:net';
import { checkHookUrl, type HookPolicy, hostOf, refusalOfHost } from './hook-url.js';
import type { ResolveHost } from './resolve-host.js';

/* One request to a listener that somebody else chose the address of (S-6). */

export interface HookRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/**
 * `answered`: a status came, whichever. `refused`: nothing was sent, because of where it would have gone. `failed`: no answer came; whether
 * the listener has the request is not known.
 */
export type HookOutcome =
  | { readonly kind: 'answered'; readonly status: number; readonly retryAfterSeconds: number | null }
  | { readonly kind: 'refused'; readonly why: string }
  | { readonly kind: 'failed'; readonly why: HookFailure };

export type HookFailure = 'name-not-resolved' | 'timeout' | 'not-connected' | 'tls' | 'connection-lost';

export interface HookSender {
  send(request: HookRequest): Promise<HookOutcome>;
  /** Ends the connections that are kept. */
  close(): void;
}

export interface HookSenderOptions {
  readonly policy: HookPolicy;
  readonly resolve: ResolveHost;
  /** From the first step to the status; default 15 s. */
  readonly timeoutMilliseconds?: number;
}

const TIMEOUT_MILLISECONDS = 15_000;
/** Of an answer; it is thrown away, and read only so that the connection can be used again. */
const ANSWER_BYTES = 4096;
const ANSWER_MILLISECONDS = 1000;
const KEPT_CONNECTIONS = 16;
const IDLE_MILLISECONDS = 20_000;
/** On connections that were closed while they were kept. */
const STALE_ATTEMPTS = 3;

class RefusedAddress extends Error {
  readonly why: string;

  constructor(why: string) {
    super(`The address is not reached: ${why}.`);
    this.name = 'RefusedAddress';
    this.why = why;
  }
}

class NameNotResolved extends Error {
  override readonly name = 'NameNotResolved';
}

class TimedOut extends Error {
  override readonly name = 'TimedOut';
}

export function createHookSender(options: HookSenderOptions): HookSender {
  const { policy, resolve, timeoutMilliseconds = TIMEOUT_MILLISECONDS } = options;
  const kept = { keepAlive: true, maxFreeSockets: KEPT_CONNECTIONS, timeout: IDLE_MILLISECONDS };
  const agents = {
    'http:': new http.Agent(kept),
    'https:': new https.Agent({ ...kept, minVersion: 'TLSv1.2' }),
  };
  let isClosed = false;

  /** INVARIANT: a socket connects to an address of the very answer that was checked, and one address that is refused refuses them all. */
  function lookupFor(url: URL): LookupFunction {
    return (host, wanted, callback) => {
      checkedAddresses(url, host).then(
        (addresses) => {
          const family = wanted.family === 'IPv4' ? 4 : wanted.family === 'IPv6' ? 6 : wanted.family;
          const fitting = addresses.filter((one) => !family || one.family === family);
          const [first] = fitting;
          if (first === undefined) callback(new NameNotResolved(host), '');
          else if (wanted.all === true) callback(null, fitting);
          else callback(null, first.address, first.family);
        },
        (error: Error) => callback(error, ''),
      );
    };
  }

  async function checkedAddresses(url: URL, host: string) {
    let addresses: readonly string[];
    try {
      addresses = await resolve(host.replace(/\.$/, ''));
    } catch (error) {
      throw new NameNotResolved(host, { cause: error });
    }
    for (const address of addresses) {
      const why = refusalOfHost(url, address, policy);
      if (why !== null) throw new RefusedAddress(why);
    }
    return addresses.map((address) => ({ address, family: isIP(address) }));
  }

  function sendOnce(url: URL, request: HookRequest, deadline: number): Promise<HookOutcome | 'again'> {
    const module = url.protocol === 'https:' ? https : http;
    const agent = agents[url.protocol === 'https:' ? 'https:' : 'http:'];
    return new Promise((settle) => {
      const sent = module.request(url, {
        method: 'POST',
        agent,
        lookup: lookupFor(url),
        headers: { ...request.headers, 'content-length': String(request.body.byteLength) },
      });
      const timer = setTimeout(() => sent.destroy(new TimedOut()), Math.max(0, deadline - performance.now()));
      const done = (outcome: HookOutcome | 'again') => {
        clearTimeout(timer);
        settle(outcome);
      };
      let isConnected = false;
      sent.on('socket', (socket) => {
        guardSocket(socket, url, () => {
          isConnected = true;
        });
      });
      sent.on('response', (answer) => {
        done({
          kind: 'answered',
          status: answer.statusCode ?? 0,
          retryAfterSeconds: readRetryAfter(answer.headers['retry-after']),
        });
        throwAway(answer);
      });
      sent.on('error', (error) => {
        // A listener may close a connection that was kept in the very moment in which it is used: that says nothing of the listener.
        const isStale = sent.reusedSocket && !(error instanceof TimedOut);
        done(isStale ? 'again' : toFailure(error, isConnected));
      });
      // An answer that changes the protocol (101) is neither an answer nor an error here: whoever waits for one would wait for ever.
      sent.on('close', () => done({ kind: 'failed', why: 'connection-lost' }));
      sent.end(request.body);
    });
  }

  /** Second opinion on the pinned look-up, before anything is said on the connection. */
  function guardSocket(socket: Socket, url: URL, onConnected: () => void): void {
    const check = () => {
      onConnected();
      const address = socket.remoteAddress;
      const why = address === undefined ? null : refusalOfHost(url, address, policy);
      if (why !== null) socket.destroy(new RefusedAddress(why));
    };
    if (socket.connecting) socket.prependOnceListener('connect', check);
    else check();
  }

  return {
    async send(request) {
      const checked = checkHookUrl(request.url, policy);
      if (!('url' in checked)) return { kind: 'refused', why: checked.code };
      const { url } = checked;
      // A look-up is never made for what is an address already; the URL's check has judged it.
      url.hostname = url.hostname.startsWith('[') ? url.hostname : hostOf(url);
      const deadline = performance.now() + timeoutMilliseconds;
      for (let attempt = 1; ; attempt += 1) {
        const outcome = await sendOnce(url, request, deadline);
        if (outcome !== 'again') return outcome;
        // Whoever closes this ends what is under way: it is not begun anew then.
        if (isClosed || attempt >= STALE_ATTEMPTS) return { kind: 'failed', why: 'connection-lost' };
      }
    },
    close() {
      isClosed = true;
      for (const agent of Object.values(agents)) agent.destroy();
    },
  };
}

function throwAway(answer: IncomingMessage): void {
  let bytes = 0;
  const timer = setTimeout(() => answer.destroy(), ANSWER_MILLISECONDS);
  timer.unref();
  answer.on('data', (chunk: Buffer) => {
    bytes += chunk.byteLength;
    if (bytes > ANSWER_BYTES) answer.destroy();
  });
  answer.on('error', () => undefined);
  answer.on('close', () => clearTimeout(timer));
}

/** Whole seconds from now; a date and anything else is passed over. */
function readRetryAfter(text: string | undefined): number | null {
  return text !== undefined && /^\d{1,6}$/.test(text) ? Number(text) : null;
}

function toFailure(error: Error, isConnected: boolean): HookOutcome {
  if (error instanceof RefusedAddress) return { kind: 'refused', why: error.why };
  if (error instanceof NameNotResolved) return { kind: 'failed', why: 'name-not-resolved' };
  if (error instanceof TimedOut) return { kind: 'failed', why: 'timeout' };
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (/^(ERR_TLS|ERR_SSL|CERT_|DEPTH_|SELF_SIGNED|UNABLE_TO|HOSTNAME_MISMATCH|EPROTO)/.test(code)) {
    return { kind: 'failed', why: 'tls' };
  }
  return { kind: 'failed', why: isConnected ? 'connection-lost' : 'not-connected' };
}
