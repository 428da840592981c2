import { randomUUID } from 'node:crypto';
import { importJWK, type JWK, SignJWT } from 'jose';
import type { CaseLot, HttpCase } from './conformance-case.js';
import { arrange, type Names } from './conformance-store.js';
import type { TestResponse, TestServer } from './test-server.js';

/*
 * Asks the cases of `conformance/` over OFREP and OEP. What a case says to exist is put into the store as it stands (creation
 * times, anchors and balances cannot be chosen over REST); the questions and answers go over HTTP. Cases that need another
 * instant set the clock that the process evaluates by; consumption follows the database's, so those cases are passed over.
 */

export interface HttpOutcome {
  /** What was answered, in the words of the cases; only members that the wire carries. */
  readonly actual: Readonly<Record<string, unknown>>;
  /** The expectation without what the wire does not carry. */
  readonly expected: Readonly<Record<string, unknown>>;
}

export interface ConformanceServer {
  /** One outcome for each question; `null` where the case cannot be asked over HTTP. */
  run(one: HttpCase): Promise<readonly HttpOutcome[] | null>;
}

/** @param server holds the case's catalog as its product; nothing else may use it at the same time. */
export function createConformanceServer(server: TestServer): ConformanceServer {
  const { clock } = server.parts;
  const realNow = clock.now.bind(clock);
  let signingKey: (JWK & { readonly kid: string }) | null = null;

  async function run(one: HttpCase): Promise<readonly HttpOutcome[] | null> {
    if (one.steps?.some(({ at }) => at !== undefined)) return null;
    if (one.clock !== 'real' && (one.steps !== undefined || endsBefore(one, realNow()))) return null;
    if (one.ask?.entitlement !== undefined && one.credential === 'client') return null;
    const names = await arrange(server, one);
    const at = one.clock === 'real' ? realNow : () => Date.parse(one.now);
    Object.assign(clock, { now: at });
    try {
      return await askAll(one, names, at());
    } finally {
      Object.assign(clock, { now: realNow });
    }
  }

  async function askAll(one: HttpCase, names: Names, now: number): Promise<readonly HttpOutcome[]> {
    const access = await accessOf(one, now);
    if (one.steps === undefined) {
      const { flag, entitlement, amount } = one.ask ?? {};
      const path =
        flag === undefined
          ? `oep/v1/evaluate/entitlements/${entitlement}`
          : `ofrep/v1/evaluate/flags/${flag}`;
      const body = { context: one.context, ...(amount === undefined ? {} : { amount }) };
      const answer = await retried(() => server.request('POST', `/${path}`, { ...access, body }));
      const read = flag === undefined ? entitlementAnswer : flagAnswer;
      const expected = flag === undefined ? (one.expect ?? {}) : withoutFlagOnly(one.expect ?? {});
      return [compare(read(JSON.parse(names.back(answer.text))), expected)];
    }
    const outcomes: HttpOutcome[] = [];
    const reservations = new Map<string, string>();
    const lots = createLots(server, one.customer?.key ?? '');
    for (const lot of one.customer?.lots ?? []) await lots.make(lot);
    for (const step of one.steps) {
      const changed = await lots.change(step);
      if (changed !== null) {
        const body = { context: one.context, consistency: 'strong' };
        const path = `/oep/v1/evaluate/entitlements/${changed}`;
        const answer = await retried(() => server.request('POST', path, { key: server.serverKey, body }));
        const actual = { ...entitlementAnswer(answer.body), lots: await lots.remaining() };
        outcomes.push(compare(actual, step.expect));
        continue;
      }
      const { as: name, ...reserve } = step.reserve ?? {};
      const { of: _, ...settle } = step.settle ?? {};
      const answer = await server.request('POST', pathOf(step, reservations), {
        key: server.serverKey,
        headers: { 'idempotency-key': randomUUID() },
        body: { context: one.context, ...step.consume, ...step.release, ...reserve, ...settle },
      });
      if (name !== undefined && answer.status === 201) reservations.set(name, answer.body.id);
      const actual = consumptionAnswer(JSON.parse(names.back(answer.text)));
      const { lots: expected } = step.expect;
      outcomes.push(
        compare(expected === undefined ? actual : { ...actual, lots: await lots.remaining() }, step.expect),
      );
    }
    return outcomes;
  }

  async function accessOf(one: HttpCase, now: number) {
    const headers = {
      'pennon-environment': one.environment ?? 'production',
      'pennon-product': server.product,
    };
    if (one.credential === undefined || one.credential === 'server') return { key: server.adminKey, headers };
    if (one.credential === 'client') return { key: server.clientKey };
    return {
      key: server.clientKey,
      headers: { 'pennon-customer-token': await tokenFor(one.credential.token, now) },
    };
  }

  async function tokenFor(who: { readonly customer: string; readonly user: string | null }, now: number) {
    signingKey ??= await newSigningKey(server);
    return new SignJWT({
      env: 'production',
      product: server.product,
      ...(who.user === null ? {} : { user: who.user }),
    })
      .setProtectedHeader({ alg: 'EdDSA', kid: signingKey.kid })
      .setSubject(who.customer)
      .setAudience('pennon')
      .setIssuedAt(Math.floor(now / 1000) - 1)
      .setExpirationTime(Math.floor(now / 1000) + 600)
      .sign(await importJWK(signingKey, 'EdDSA'));
  }

  return { run };
}

/** The lots of a case, made, voided and read over the management API. */
function createLots(server: TestServer, customer: string) {
  const path = `/api/v1/environments/production/customers/${customer}/top-ups`;
  const named = new Map<string, string>();

  async function send(to: string, body: object): Promise<TestResponse> {
    const answer = await server.request('POST', to, { body: { ...body, reason: 'A test.' } });
    if (answer.status >= 300) throw new Error(answer.text);
    return answer;
  }

  async function make({ as, ...lot }: CaseLot): Promise<void> {
    const { body } = await send(path, { product: server.product, ...lot });
    named.set(body.id, as);
  }

  return {
    make,
    /** Of a step that changes lots: the feature whose entitlement is then looked at. */
    async change({ topUp, void: voided }: NonNullable<HttpCase['steps']>[number]): Promise<string | null> {
      if (topUp !== undefined) await make(topUp);
      if (voided !== undefined) {
        const id = [...named].find(([, name]) => name === voided.of)?.[0];
        await send(`${path}/${id}/void`, {});
      }
      return topUp?.feature ?? voided?.key ?? null;
    },
    async remaining(): Promise<Record<string, unknown>> {
      const { body } = await server.request('GET', `${path}?closed=true`);
      const items = body.items as { id: string; remaining: number }[];
      return Object.fromEntries(items.map(({ id, remaining }) => [named.get(id) ?? id, remaining]));
    },
  };
}

function pathOf(
  { consume, reserve, settle, releaseHold }: NonNullable<HttpCase['steps']>[number],
  reservations: ReadonlyMap<string, string>,
): string {
  if (reserve !== undefined) return '/oep/v1/reservations';
  const id = reservations.get(settle?.of ?? releaseHold?.of ?? '');
  if (settle !== undefined) return `/oep/v1/reservations/${id}/settle`;
  if (releaseHold !== undefined) return `/oep/v1/reservations/${id}/release`;
  return consume === undefined ? '/oep/v1/release' : '/oep/v1/consume';
}

async function newSigningKey(server: TestServer): Promise<JWK & { readonly kid: string }> {
  const body = { environment: 'production', product: server.product, name: 'conformance', reason: 'A test.' };
  const made = await server.request('POST', '/api/v1/token-keys', { body });
  return made.body.privateJwk;
}

/** The store leaves out what has ended by its own clock, which nobody sets: such a case has to wait for nothing. */
function endsBefore(one: HttpCase, now: number): boolean {
  // Of licenses the last few are read all the same: what they gave may still matter.
  const { groups = [], memberships = [], grants = [] } = one.customer ?? {};
  return [...groups, ...memberships, ...grants].some(
    ({ endsAt }) => endsAt !== undefined && Date.parse(endsAt) <= now,
  );
}

/** An OFREP item says neither what decided nor until when: it must not move when nothing else does. */
function withoutFlagOnly(expect: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { sources, validUntil, ...rest } = expect;
  return rest;
}

/** On a loaded machine a cold customer may miss its 50 ms. */
async function retried(ask: () => Promise<TestResponse>): Promise<TestResponse> {
  for (let attempt = 0; ; attempt += 1) {
    const answer = await ask();
    if (answer.status !== 503 || attempt >= 40) return answer;
  }
}

// biome-ignore lint/suspicious/noExplicitAny: answers of every shape are looked into.
type Body = any;

function flagAnswer(body: Body): Record<string, unknown> {
  if (body.errorCode !== undefined) return { errorCode: body.errorCode };
  const { metadata } = body;
  return {
    ...('value' in body ? { value: body.value, variant: body.variant } : { valueAbsent: true }),
    reason: body.reason,
    cause: metadata.cause,
    ruleIndex: metadata.ruleIndex ?? null,
    customerNotProven: metadata.warning === 'CUSTOMER_NOT_PROVEN',
  };
}

function entitlementAnswer(body: Body): Record<string, unknown> {
  if (body.errorCode !== undefined) return { errorCode: body.errorCode };
  const { hasAccess, reason, value, usage, reserved, balance, overage, period, sources, limit, validUntil } =
    body;
  return {
    hasAccess,
    reason,
    value,
    usage,
    reserved,
    balance,
    overage,
    validUntil,
    limit: limit === null ? null : limit.kind === 'unlimited' ? 'unlimited' : limit.value,
    period: period === null ? null : { start: period.start, end: period.end, interval: period.interval },
    sources: sources.map((one: Body) => [one.type, one.key, one.effect, one.value]),
    whenDenied: body.metadata.whenDenied,
    state: body.state,
    over: body.over,
    overLimit: body.overLimit,
    planNotFound: body.metadata.warning === 'PLAN_NOT_FOUND',
  };
}

function consumptionAnswer(body: Body): Record<string, unknown> {
  if (body.errorCode !== undefined) return { errorCode: body.errorCode };
  if (body.items !== undefined) return { allowed: body.allowed, items: body.items.map(consumptionAnswer) };
  const { allowed, reason, consumed, released, entitlement } = body;
  const refusedBy = body.refusedBy?.item ?? null;
  const { usage, reserved, balance, overage, hasAccess, state, over, limit } = entitlement;
  const taken = released === undefined ? { allowed, reason, consumed, refusedBy } : { released };
  const hold = body.id === undefined ? {} : { held: body.amount, state: body.state, settled: body.settled };
  const after = {
    ...{ reservedAfter: reserved, usedAfter: usage, balance, overage, hasAccess, over },
    limit: limit === null ? null : limit.kind === 'unlimited' ? 'unlimited' : limit.value,
  };
  return { ...taken, state, ...hold, ...after };
}

/** Members that only the engine's own decision has are not on the wire. */
function compare(
  actual: Readonly<Record<string, unknown>>,
  expect: Readonly<Record<string, unknown>>,
): HttpOutcome {
  const carried = (members: Readonly<Record<string, unknown>>): Record<string, unknown> =>
    Object.fromEntries(
      Object.entries(members)
        .filter(([name]) => !NOT_CARRIED.has(name))
        .map(([name, value]) => [
          name,
          name === 'items' && Array.isArray(value) ? value.map(carried) : value,
        ]),
    );
  return { actual, expected: carried(expect) };
}

const NOT_CARRIED = new Set([
  'limitAtDecision',
  'granted',
  'scope',
  'type',
  'bucket',
  'faults',
  'usedBefore',
  'wouldHaveDenied',
  'key',
]);
