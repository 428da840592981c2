import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createAccounts, Refusal } from './accounts.mjs';

/*
 * A server of OEP in memory, for tests of the suite only: it forgets everything at its end, knows one product and two keys, and does
 * wrong what it is told to do wrong.
 */

const fixture = JSON.parse(readFileSync(new URL('../fixture.json', import.meta.url), 'utf8'));
const VOLATILE = new Set(['usage', 'reserved', 'balance', 'overage', 'asOf']);
export const SERVER_KEY = 'sample-server-key';
export const CLIENT_KEY = 'sample-client-key';
/** Every so manieth consume of this feature is refused, so that a caller meets a 429. */
const THROTTLED = 'unlimited-calls';
const EVERY = 4;

/** @returns {Promise<{ url: string, stop: () => Promise<void> }>} on a free port of 127.0.0.1 */
export async function startSampleServer(faults = new Set()) {
  const state = {
    accounts: createAccounts(fixture, faults),
    answers: new Map(),
    holds: new Map(),
    events: new Map(),
    throttled: 0,
    faults,
  };
  const server = createServer((request, response) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => void respond(state, request, response, Buffer.concat(chunks).toString('utf8')));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    stop: () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      }),
  };
}

async function respond(state, request, response, text) {
  const { faults } = state;
  try {
    if (request.url.endsWith('/consume') && text.includes(THROTTLED)) throttle(state);
    const { status = 200, body, headers = {} } = await route(state, request, text);
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(status === 304 ? undefined : JSON.stringify(body));
  } catch (error) {
    const refusal =
      error instanceof Refusal ? error : new Refusal(500, 'GENERAL', String(error?.stack ?? error));
    const errorCode = faults.has('wrong-code') && refusal.status === 404 ? 'GENERAL' : refusal.errorCode;
    const key = /\/entitlements\/([^/?]+)$/.exec(request.url)?.[1];
    const retry = refusal.status === 429 && !faults.has('no-retry-after') ? { 'retry-after': '1' } : {};
    response.writeHead(refusal.status, { 'content-type': 'application/json', ...retry });
    const details = faults.has('no-details') ? {} : { errorDetails: refusal.message };
    response.end(
      JSON.stringify({ ...(key === undefined ? {} : { key }), errorCode, ...details, metadata: {} }),
    );
  }
}

function throttle(state) {
  state.throttled += 1;
  if (state.throttled % EVERY === 0) throw new Refusal(429, 'RATE_LIMITED', 'Too many at once.');
}

const CAPABILITIES = {
  evaluate: true,
  bulk: true,
  etag: true,
  strongConsistency: true,
  consume: true,
  items: true,
  upTo: true,
  release: true,
  holders: true,
  reservations: true,
  usageEvents: true,
  history: true,
};

async function route(state, request, text) {
  const { accounts, faults } = state;
  const path = request.url.split('?')[0];
  const kind = credentialOf(request, faults);
  if (path === '/oep/v1/configuration') {
    return { body: { name: 'Sample', protocol: 'oep/0.1', capabilities: CAPABILITIES, limits: {} } };
  }
  if (path.startsWith('/oep/v1/evaluate/entitlements')) {
    const body = objectOf(text, faults, ['context', 'amount', 'attributes', 'consistency']);
    const who = whoOf(body.context);
    const key = path.slice('/oep/v1/evaluate/entitlements/'.length);
    if (key !== '') return { body: accounts.evaluate(who, key, body.amount) };
    return bulk(accounts.bulk(who), request.headers['if-none-match'], faults);
  }
  if (path === '/oep/v1/history') return history(state, kind, request);
  if (kind !== 'server' && !faults.has('client-consumes'))
    throw new Refusal(403, 'GENERAL', 'Not with this key.');
  if (path === '/oep/v1/usage') return usage(state, request, text);
  const body = objectOf(text, faults);
  return once(state, path, request.headers['idempotency-key'], faults.has('member-order') ? text : body, () =>
    change(state, path, body),
  );
}

function credentialOf({ headers }, faults) {
  const bearer = /^Bearer (.+)$/.exec(headers.authorization ?? '')?.[1];
  const key = bearer ?? (faults.has('bearer-only') ? undefined : headers['x-api-key']);
  if (faults.has('deaf') || (key !== SERVER_KEY && key !== CLIENT_KEY))
    throw new Refusal(401, 'GENERAL', 'No key.');
  return key === SERVER_KEY ? 'server' : 'client';
}

function objectOf(text, faults, known = null) {
  const withoutNull = (_name, value) => (value === null && !faults.has('strict-null') ? undefined : value);
  let body;
  try {
    body = JSON.parse(text, withoutNull);
  } catch {
    throw new Refusal(400, 'PARSE_ERROR', 'The body is not JSON.');
  }
  if (!isObject(body)) throw new Refusal(400, 'PARSE_ERROR', 'The body must be an object.');
  if (
    faults.has('strict-members') &&
    known !== null &&
    Object.keys(body).some((name) => !known.includes(name))
  ) {
    throw new Refusal(400, 'GENERAL', 'A member that is not known.');
  }
  return body;
}

function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function whoOf(context) {
  if (context !== undefined && !isObject(context))
    throw new Refusal(400, 'INVALID_CONTEXT', '`context` must be an object.');
  const customer = context?.targetingKey;
  if (typeof customer !== 'string') throw new Refusal(400, 'TARGETING_KEY_MISSING', 'Name the customer.');
  return { customer, user: context.user?.key };
}

function bulk(entitlements, known, faults) {
  const skipped = faults.has('etag-without-access')
    ? new Set([...VOLATILE, 'hasAccess', 'reason'])
    : VOLATILE;
  const text = JSON.stringify(entitlements, (name, value) =>
    skipped.has(name) && !(faults.has('etag-of-meter') && name === 'usage') ? undefined : value,
  );
  const etag = `"${createHash('sha256').update(text).digest('base64url')}"`;
  if (known === etag && !faults.has('no-304')) return { status: 304, headers: { etag } };
  return { body: { entitlements, metadata: {} }, headers: { etag } };
}

/** The same key and body get the stored answer. */
async function once(state, path, key, body, decide) {
  const { answers, faults } = state;
  if (key === undefined) {
    if (!faults.has('key-optional')) throw new Refusal(400, 'GENERAL', 'Send `Idempotency-Key`.');
    return decide();
  }
  const asked = canonical([path, body]);
  const earlier = answers.get(key);
  if (earlier !== undefined && !faults.has('replay-anew')) {
    if (earlier.asked !== asked && !faults.has('no-mismatch')) {
      throw new Refusal(422, 'IDEMPOTENCY_MISMATCH', 'This key was sent with another body.');
    }
    const answer = await earlier.answer;
    if (faults.has('replay-fresh-balance') && answer.body.entitlement) {
      answer.body.entitlement.usage = state.accounts.evaluate(whoOf(body.context), body.key).usage;
    }
    return faults.has('replay-silent') ? answer : { ...answer, headers: { 'idempotency-replayed': 'true' } };
  }
  const answer = decide();
  answers.set(key, { asked, answer });
  try {
    const { body: decided } = await answer;
    if (faults.has('denials-forgotten') && decided.allowed === false) answers.delete(key);
  } catch (error) {
    answers.delete(key);
    throw error;
  }
  return answer;
}

function canonical(value) {
  return JSON.stringify(value, (_name, one) =>
    isObject(one) ? Object.fromEntries(Object.entries(one).sort(([a], [b]) => (a < b ? -1 : 1))) : one,
  );
}

async function change(state, path, body) {
  const { accounts, faults, holds } = state;
  const named = /^\/oep\/v1\/reservations\/([^/]+)\/(settle|release)$/.exec(path);
  if (named !== null) {
    const hold = holds.get(named[1]) ?? (faults.has('any-id') ? [...holds.values()][0] : undefined);
    if (hold === undefined) throw new Refusal(404, 'RESERVATION_NOT_FOUND', 'There is no such reservation.');
    const answer =
      named[2] === 'settle' ? accounts.settle(hold, body.amount ?? hold.amount) : accounts.releaseHold(hold);
    return { body: answer };
  }
  const who = whoOf(body.context);
  const { mode = 'all' } = body;
  if (mode !== 'all' && mode !== 'upTo')
    throw new Refusal(400, 'PARSE_ERROR', '`mode` must be `all` or `upTo`.');
  switch (path) {
    case '/oep/v1/consume': {
      const answer = await accounts.consume(who, itemsOf(body), mode, body.items === undefined);
      return { status: faults.has('denial-is-a-fault') && !answer.allowed ? 403 : 200, body: answer };
    }
    case '/oep/v1/release':
      return { body: accounts.release(who, body) };
    case '/oep/v1/reservations': {
      const { ttlSeconds = 60 } = body;
      if (!Number.isInteger(ttlSeconds) || ttlSeconds < 1)
        throw new Refusal(400, 'PARSE_ERROR', '`ttlSeconds`?');
      const made = accounts.reserve(who, itemsOf(body)[0], mode, ttlSeconds);
      if (made.hold === undefined) return { body: made };
      holds.set(made.hold.id, made.hold);
      return { status: faults.has('held-200') ? 200 : 201, body: made.answer };
    }
    default:
      throw new Refusal(404, 'GENERAL', 'There is nothing here.');
  }
}

function itemsOf(body) {
  const { items, key } = body;
  if (items === undefined) {
    if (typeof key !== 'string') throw new Refusal(400, 'PARSE_ERROR', 'Name a `key`.');
    return [body];
  }
  if (key !== undefined || !Array.isArray(items) || items.length === 0) {
    throw new Refusal(400, 'PARSE_ERROR', 'Send `key` or `items`.');
  }
  return items;
}

function history({ accounts, faults }, kind, request) {
  if (kind !== 'server') throw new Refusal(403, 'GENERAL', 'Not with this key.');
  const query = new URL(request.url, 'http://localhost').searchParams;
  const [key, window] = [query.get('key'), query.get('window') ?? 'day'];
  const [from, to] = [query.get('from'), query.get('to')].map((text) =>
    /^\d{4}-\d{2}-\d{2}T/.test(text ?? '') ? Date.parse(text) : Number.NaN,
  );
  const isSpan = from < to || (from === to && faults.has('history-empty-span'));
  if (key === null || !isSpan || !['hour', 'day', 'month'].includes(window)) {
    throw new Refusal(400, 'PARSE_ERROR', 'Send `key`, `from` before `to`, and a `window`.');
  }
  const who = whoOf({ targetingKey: query.get('targetingKey') ?? undefined });
  return { body: { ...accounts.history(who, key, { from, to, window }), metadata: {} } };
}

function usage(state, request, text) {
  const body = text.trimStart().startsWith('[') ? parsed(text) : objectOf(text, state.faults);
  const batch = request.headers['content-type'].startsWith('application/cloudevents-batch+json');
  if (batch !== Array.isArray(body)) throw new Refusal(400, 'PARSE_ERROR', 'A batch is a list.');
  const events = batch ? body : [body];
  const items = events.map((event) => ({ source: event.source, id: event.id, ...recorded(state, event) }));
  const bad = items.some((one) => one.status === 'refused');
  if (bad && batch && state.faults.has('batch-whole'))
    throw new Refusal(400, 'PARSE_ERROR', 'One event is bad.');
  return { status: 202, body: { items, metadata: {} } };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Refusal(400, 'PARSE_ERROR', 'The body is not JSON.');
  }
}

function recorded({ accounts, events, faults }, { specversion, id, source, subject, time, data }) {
  try {
    if (specversion !== '1.0') throw new Refusal(400, 'EVENT_INVALID', '`specversion` must be 1.0.');
    const name = JSON.stringify([source, id]);
    const told = events.get(name);
    if (told !== undefined && !faults.has('event-twice')) {
      if (told.says === JSON.stringify([subject, data]) || faults.has('event-name-again'))
        return { status: 'duplicate' };
      throw new Refusal(400, 'EVENT_ID_REUSED', 'Another event has that name.');
    }
    const happened = time === undefined ? Date.now() : Date.parse(time);
    if (happened > Date.now() + 300_000 && !faults.has('future-now')) {
      throw new Refusal(400, 'EVENT_IN_FUTURE', 'It has not happened yet.');
    }
    const { key, corrects, amount: sent } = data;
    const corrected = events.get(JSON.stringify([source, corrects]));
    if (corrects !== undefined && !faults.has('correction-free')) {
      if (corrected === undefined) throw new Refusal(400, 'CORRECTED_EVENT_NOT_FOUND', 'There is none.');
      if (corrected.left + (sent ?? 0) < 0)
        throw new Refusal(400, 'CORRECTION_EXCEEDS_EVENT', 'Not so much.');
    }
    const all = faults.has('correction-needs-amount') ? 0 : -(corrected?.left ?? 0);
    const amount = corrects === undefined ? accounts.amountOfEvent(key, data) : (sent ?? all);
    if (corrected !== undefined) corrected.left += amount;
    const { start } = accounts.periodOf(key);
    accounts.record({ customer: subject }, key, amount, happened >= Date.parse(start), happened);
    events.set(name, { left: amount, says: JSON.stringify([subject, data]) });
    return { status: 'accepted' };
  } catch (error) {
    if (error instanceof Refusal)
      return { status: 'refused', errorCode: error.errorCode, errorDetails: error.message };
    throw error;
  }
}
