import { setTimeout as sleep } from 'node:timers/promises';

const ERROR_CODE_OF = { 429: 'RATE_LIMITED', 503: 'UNAVAILABLE' };
const ATTEMPTS = 8;
const LONGEST_WAIT_SECONDS = 5;

/**
 * How one server is asked. A 429 and a 503 are no answers: the same request is sent again, as often as a caller would, after the time
 * that the server names. What every answer of the protocol must be, whatever was asked, is looked at here (`faults`).
 * @param {{ url: string, key: string, clientKey: string | null, headers: Record<string, string>, timeoutSeconds: number }} server
 */
export function createAsk(server) {
  const base = server.url.replace(/\/+$/, '');

  async function once({ method, path, headers, text, credential }) {
    const response = await fetch(`${base}${path}`, {
      method,
      redirect: 'manual',
      headers: {
        ...server.headers,
        ...credentialHeaders(server, credential),
        ...(text === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(text === undefined ? {} : { body: text }),
      signal: AbortSignal.timeout(server.timeoutSeconds * 1000),
    });
    const received = await response.text();
    let body;
    try {
      body = JSON.parse(received);
    } catch {
      body = undefined;
    }
    return { status: response.status, headers: response.headers, text: received, body };
  }

  return async function ask(request, { retry = true } = {}) {
    const faults = [];
    for (let attempt = 1; ; attempt += 1) {
      const answer = await once(request);
      faults.push(...faultsOf(answer));
      if (!(answer.status in ERROR_CODE_OF) || !retry || attempt === ATTEMPTS) {
        return { ...answer, faults, attempts: attempt };
      }
      const seconds = Number(answer.headers.get('retry-after'));
      await sleep(
        1000 * Math.min(Number.isFinite(seconds) ? Math.max(seconds, 0.1) : 1, LONGEST_WAIT_SECONDS),
      );
    }
  };
}

function credentialHeaders({ key, clientKey }, credential) {
  switch (credential) {
    case 'bearer':
      return { authorization: `Bearer ${key}` };
    case 'api-key':
      return { 'x-api-key': key };
    case 'client':
      return { authorization: `Bearer ${clientKey}` };
    case 'wrong':
      return { authorization: `Bearer ${[...key].reverse().join('')}x` };
    case 'none':
      return {};
    default:
      throw new Error(`No such credential: ${credential}`);
  }
}

function faultsOf({ status, headers, text, body }) {
  if (status === 304) return text === '' ? [] : ['a 304 came with a body'];
  const faults = [];
  if (!/^application\/json\b/.test(headers.get('content-type') ?? '') || body === undefined) {
    return [`the answer (${status}) is not JSON: ${text.slice(0, 200)}`];
  }
  if (status >= 400) {
    if (typeof body.errorCode !== 'string') faults.push(`an error (${status}) without \`errorCode\``);
    if (typeof body.errorDetails !== 'string') faults.push(`an error (${status}) without \`errorDetails\``);
  }
  if (status in ERROR_CODE_OF) {
    if (!/^\d+$/.test(headers.get('retry-after') ?? ''))
      faults.push(`a ${status} without an integer \`Retry-After\``);
    if (body.errorCode !== ERROR_CODE_OF[status])
      faults.push(`a ${status} with \`errorCode\` ${body.errorCode}`);
  }
  return faults;
}
