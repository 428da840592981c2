import { request as httpRequest } from 'node:http';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CATALOG, type Call, caller, reason } from './contracts-support.js';

let server: TestServer;
let call: Call;

beforeAll(async () => {
  server = await startTestServer({ catalog: CATALOG });
  call = caller(server);
});
afterAll(() => server.stop());

type Line = Record<string, unknown>;

const parse = (text: string): Line[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);
const toText = (lines: readonly (Line | string)[]): string =>
  lines.map((line) => `${typeof line === 'string' ? line : JSON.stringify(line)}\n`).join('');

async function load(lines: readonly (Line | string)[], query = '', environment = 'production') {
  const path = `/api/v1/environments/${environment}/import/customers?reason=moved${query}`;
  const answer = await server.request('POST', path, {
    headers: { 'content-type': 'application/x-ndjson' },
    body: toText(lines),
  });
  const told = answer.status === 200 ? parse(answer.text) : [];
  return { status: answer.status, body: answer.body, outcomes: told.slice(0, -1), end: told.at(-1) };
}

async function save(environment = 'production'): Promise<Line[]> {
  const answer = await server.request('GET', `/api/v1/environments/${environment}/export/customers`);
  expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/x-ndjson']);
  return parse(answer.text);
}

const auditCount = async () =>
  (await server.parts.database.pool.query('select count(*) as count from audit_entry')).rows[0].count;

describe('import of customers', () => {
  it('does what stands before a line that cannot be read, and tells it', async () => {
    const { outcomes, end } = await load([{ key: 'before-1' }, { key: 'before-2' }, 'x'.repeat(8_500_000)]);
    expect(outcomes.map((one) => one.key)).toEqual(['before-1', 'before-2']);
    expect(end).toMatchObject({ error: { code: 'LINE_TOO_LONG' }, done: { created: 2 } });
    expect((await call('GET', '/customers/before-2')).status).toBe(200);
  });

  const acme = {
    key: 'in-acme',
    name: 'Acme Import',
    attributes: { tier: 2 },
    users: [{ key: 'in-ada', email: 'ada@in.example' }],
    instances: [{ key: 'in-eu', metadata: { region: 'eu' } }],
  };

  it('creates, changes and leaves alone, and says so line by line; again it changes nothing', async () => {
    const first = await load([acme, { key: 'in-beta' }]);
    expect(first.outcomes).toEqual([
      { line: 1, key: 'in-acme', outcome: 'created' },
      { line: 2, key: 'in-beta', outcome: 'created' },
    ]);
    expect(first.end).toEqual({
      summary: { lines: 2, created: 2, updated: 0, unchanged: 0, refused: 0, dryRun: false },
    });
    expect((await call('GET', '/customers/in-acme')).body).toMatchObject({ name: 'Acme Import', version: 1 });
    expect((await call('GET', '/customers/in-acme/users')).body.items[0]).toMatchObject({ key: 'in-ada' });
    expect((await call('GET', '/users?search=ada@in')).body.items).toHaveLength(1);

    const before = await auditCount();
    const again = await load([acme, { key: 'in-beta' }]);
    expect(again.outcomes.map((one) => one.outcome)).toEqual(['unchanged', 'unchanged']);
    expect(await auditCount()).toBe(before);

    // What a line does not name stays.
    const changed = await load([{ key: 'in-acme', email: 'new@in.example', users: [{ key: 'in-bob' }] }]);
    expect(changed.outcomes[0]).toMatchObject({ outcome: 'updated' });
    const { body } = await call('GET', '/customers/in-acme');
    expect(body).toMatchObject({ name: 'Acme Import', email: 'new@in.example', version: 2 });
    expect((await call('GET', '/customers/in-acme/users')).body.items).toHaveLength(2);
    const { body: trail } = await call('GET', `/audit?objectKind=customer&objectId=${body.id}`);
    expect(
      trail.items.map((entry: { action: string; reason: string }) => [entry.action, entry.reason]),
    ).toEqual([
      ['customer.change', 'moved'],
      ['customer.create', 'moved'],
    ]);
  });

  it('a bad line refuses only itself, with its code and a sentence', async () => {
    await load([{ key: 'in-owner', instances: [{ key: 'in-taken' }] }]);
    const { outcomes, end } = await load([
      { key: 'in-good-1' },
      'not json',
      { key: 'in-bad', nmae: 'x' },
      { key: 'in-bad', timeZone: 'Mars/Olympus' },
      '',
      { key: 'in-bad', attributes: { big: 'x'.repeat(20_000) } },
      { key: 'in-bad', instances: [{ key: 'in-taken' }] },
      { key: 'in-bad', users: [{ key: 'u' }, { key: 'u' }] },
      { key: 'in-bad', createdAt: '2999-01-01T00:00:00Z' },
      '{"key":"in-bad","key":"twice"}',
      { key: 'in-good-2', createdAt: '2020-02-02T00:00:00Z' },
    ]);
    expect(outcomes.map(({ line, outcome, code }) => [line, outcome, code])).toEqual([
      [1, 'created', undefined],
      [2, 'refused', expect.any(String)],
      [3, 'refused', 'VALIDATION_FAILED'],
      [4, 'refused', 'TIME_ZONE_UNKNOWN'],
      [6, 'refused', 'ATTRIBUTES_TOO_LARGE'],
      [7, 'refused', 'INSTANCE_KEY_TAKEN'],
      [8, 'refused', 'KEY_TWICE'],
      [9, 'refused', 'CREATED_LATER'],
      [10, 'refused', expect.any(String)],
      [11, 'created', undefined],
    ]);
    expect(outcomes[2]?.detail).toContain('Did you mean `name`?');
    expect(end).toMatchObject({ summary: { lines: 10, refused: 8 } });
    expect((await call('GET', '/customers/in-bad')).status).toBe(404);
    expect((await call('GET', '/customers/in-good-2')).body.createdAt).toBe('2020-02-02T00:00:00.000Z');
  });

  it('a dry run says the same and does nothing; `mode=create` changes nobody', async () => {
    const before = await auditCount();
    const lines = [
      { key: 'in-acme', name: 'Other' },
      { key: 'in-new', users: [{ key: 'x' }] },
    ];
    const dry = await load(lines, '&dryRun=true');
    expect(dry.outcomes.map((one) => one.outcome)).toEqual(['updated', 'created']);
    expect(dry.end).toMatchObject({ summary: { dryRun: true } });
    expect(await auditCount()).toBe(before);
    const create = await load(lines, '&mode=create');
    expect(create.outcomes.map((one) => one.code ?? one.outcome)).toEqual(['CUSTOMER_EXISTS', 'created']);
    expect((await call('GET', '/customers/in-acme')).body.name).toBe('Acme Import');
  });

  it('refuses what is no NDJSON, and what nobody gave a reason for', async () => {
    const path = '/api/v1/environments/production/import/customers';
    expect((await server.request('POST', `${path}?reason=x`, { body: {} })).status).toBe(415);
    const headers = { 'content-type': 'application/x-ndjson' };
    expect((await server.request('POST', path, { headers, body: '{}' })).status).toBe(400);
    const away = '/api/v1/environments/nowhere/import/customers?reason=x';
    expect((await server.request('POST', away, { headers, body: '{}' })).status).toBe(404);
  });

  it('two at once over the same customers end with each of them once', async () => {
    const lines = Array.from({ length: 700 }, (_, index) => ({ key: `in-raced-${index}`, name: 'Raced' }));
    const both = await Promise.all([load(lines), load([...lines].reverse())]);
    const created = both.flatMap(({ outcomes }) => outcomes).filter(({ outcome }) => outcome === 'created');
    expect(created).toHaveLength(700);
    for (const { end } of both) expect(end).toMatchObject({ summary: { lines: 700, refused: 0 } });
  });

  it('a connection that breaks loses nothing that was acknowledged', async () => {
    const lines = Array.from({ length: 1700 }, (_, index) => ({ key: `in-broken-${index}` }));
    const told = await new Promise<string>((resolve, reject) => {
      const request = httpRequest(
        `${server.url}/api/v1/environments/production/import/customers?reason=broken`,
        {
          method: 'POST',
          headers: { authorization: `Bearer ${server.adminKey}`, 'content-type': 'application/x-ndjson' },
        },
        (response) => {
          response.setEncoding('utf8');
          response.once('data', (text: string) => {
            request.destroy();
            resolve(text);
          });
          response.on('error', () => undefined);
        },
      );
      request.on('error', (error: Error & { code?: string }) => {
        if (error.code !== 'ECONNRESET') reject(error);
      });
      request.write(toText(lines));
    });
    const acknowledged = told
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as { key: string });
    expect(acknowledged.length).toBeGreaterThan(0);
    const { rows } = await server.parts.database.pool.query<{ key: string }>(
      "select key from customer where key like 'in-broken-%'",
    );
    const stored = new Set(rows.map(({ key }) => key));
    for (const { key } of acknowledged) expect(stored.has(key)).toBe(true);
    const rest = await load(lines);
    expect(rest.end).toMatchObject({ summary: { lines: 1700, refused: 0 } });
  });
});

describe('export of customers', () => {
  it('goes on in the next line for who has many users, and an import takes it back', async () => {
    const users = Array.from({ length: 130 }, (_, index) => ({
      key: `many-${String(index).padStart(3, '0')}`,
    }));
    await load([{ key: 'out-many', users, archived: true }]);
    const lines = (await save()).filter(({ key }) => key === 'out-many');
    expect(lines.map((line) => (line.users as unknown[]).length)).toEqual([50, 50, 30]);
    expect(lines[0]).toMatchObject({ archived: true });
    const into = await load(lines, '&mode=create', 'development');
    expect(into.end).toMatchObject({ summary: { created: 1, updated: 2, refused: 0 } });
    const back = (await save('development')).filter(({ key }) => key === 'out-many');
    expect(back).toEqual(lines);
  });

  it('property: export, import elsewhere, export again: the same', async () => {
    const text = fc
      .string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
      .filter((value) => !/[\0\p{Cs}]/u.test(value));
    const orNull = <Value>(value: fc.Arbitrary<Value>) => fc.option(value, { nil: null });
    const json = fc.dictionary(
      fc.constantFrom('a', 'b', 'c'),
      fc.oneof(fc.integer(), fc.boolean(), text, fc.constant(null)),
    );
    const customer = fc.record({
      externalId: orNull(
        fc.string({ minLength: 1, maxLength: 12 }).filter((value) => !/\p{Cc}/u.test(value)),
      ),
      name: orNull(text),
      email: orNull(fc.constantFrom('a@b', 'ada@example.com')),
      timeZone: orNull(fc.constantFrom('Europe/Berlin', 'UTC')),
      attributes: json,
      archived: fc.boolean(),
      users: fc.uniqueArray(
        fc.record({ key: fc.constantFrom('u1', 'u2', 'u3'), name: orNull(text), attributes: json }),
        {
          selector: ({ key }) => key,
        },
      ),
    });
    let round = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(customer, { minLength: 1, maxLength: 6 }), async (customers) => {
        round += 1;
        const prefix = `round-${round}-`;
        const lines = customers.map((one, index) => ({
          key: `${prefix}${index}`,
          ...one,
          instances: [{ key: `${prefix}${index}`, metadata: one.attributes }],
        }));
        expect((await load(lines)).end).toMatchObject({ summary: { created: lines.length } });
        const mine = (saved: Line[]) => saved.filter(({ key }) => String(key).startsWith(prefix));
        const first = mine(await save());
        expect((await load(first, '', 'development')).end).toMatchObject({
          summary: { created: lines.length },
        });
        expect(mine(await save('development'))).toEqual(first);
        expect((await load(first)).end).toMatchObject({ summary: { unchanged: lines.length } });
      }),
      { numRuns: 12 },
    );
    expect(reason).not.toBe('');
  });
});

describe('K-5 top-ups in customer files', () => {
  const lots = async (who: string, environment = 'production') => {
    const path = `/api/v1/environments/${environment}/customers/${who}/top-ups`;
    const { status, body, text } = await server.request('GET', path);
    expect(status, text).toBe(200);
    return body.items as Record<string, unknown>[];
  };
  const topUp = async (who: string, body: Record<string, unknown>) => {
    const made = await call('POST', `/customers/${who}/top-ups`, { feature: 'minutes', ...body });
    expect(made.status, made.text).toBeLessThan(300);
    return made.body as { id: string };
  };
  const lineOf = async (who: string, environment = 'production') =>
    (await save(environment)).filter(({ key }) => key === who);

  it('what is left of them goes along, there and back the same, and what is over or a grant’s does not', async () => {
    const who = 'lots-out';
    await call('PUT', `/customers/${who}`, {});
    await topUp(who, { amount: 50, source: 'order 1', reason: 'Bought' });
    await topUp(who, { amount: 20, kind: 'promotional', priority: 3, endsAt: '2099-01-01T00:00:00Z' });
    const { id: voided } = await topUp(who, { amount: 5 });
    await call('POST', `/customers/${who}/top-ups/${voided}/void`, {});
    const effect = { type: 'topUp', feature: 'minutes', amount: 7 };
    const target = { kind: 'customer', key: who };
    await call('POST', '/grants', { target, kind: 'support', effect, endsAt: '2099-01-01T00:00:00Z' });
    const consumed = await server.request('POST', '/oep/v1/consume', {
      body: { context: { targetingKey: who }, key: 'minutes', amount: 29 },
      key: server.serverKey,
      headers: { 'idempotency-key': who },
    });
    expect(consumed.body, consumed.text).toMatchObject({ allowed: true });

    const out = await lineOf(who);
    expect(out).toMatchObject([
      {
        topUps: [
          { product: 'test', amount: 50, remaining: 48, kind: 'topup', source: 'order 1', reason: 'Bought' },
          { amount: 20, remaining: 0, kind: 'promotional', priority: 3, endsAt: '2099-01-01T00:00:00.000Z' },
        ],
      },
    ]);
    expect((await load(out, '', 'development')).end).toMatchObject({ summary: { created: 1, refused: 0 } });
    expect(await lineOf(who, 'development')).toEqual(out);
    expect(await lots(who, 'development')).toMatchObject([{ remaining: 48 }, { remaining: 0 }]);
    // What was used since is not given back by the same file again.
    await call('POST', `/customers/${who}/top-ups/${(await lots(who))[0]?.['id']}/void`, {});
    expect((await load(out)).outcomes).toMatchObject([{ outcome: 'unchanged' }]);
    expect((await lots(who)).filter(({ grant }) => grant === null)).toMatchObject([{ remaining: 0 }]);
  });

  it('more than stand in a line go on in the next', async () => {
    const line = (index: number) => ({
      id: `00000000-0000-7000-8000-${String(index).padStart(12, '0')}`,
      ...{ product: 'test', feature: 'minutes', kind: 'topup', priority: 50, amount: 3, remaining: 2 },
      ...{ startsAt: '2026-01-01T00:00:00.000Z', endsAt: null, source: null, reason: 'Moved.' },
      createdAt: '2026-01-01T00:00:00.000Z',
    });
    const all = Array.from({ length: 120 }, (_, index) => line(index));
    expect((await load([{ key: 'lots-many', topUps: all }])).end).toMatchObject({ summary: { created: 1 } });
    const out = await lineOf('lots-many');
    expect(out).toHaveLength(3);
    expect(out.flatMap(({ topUps }) => topUps)).toEqual(all);
    const { body } = await server.request('POST', '/oep/v1/evaluate/entitlements/minutes', {
      body: { context: { targetingKey: 'lots-many' }, consistency: 'strong' },
      key: server.serverKey,
    });
    expect(body.balance).toBe(240);
    const more = Array.from({ length: 90 }, (_, index) => line(1000 + index));
    expect((await load([{ key: 'lots-many', topUps: more }])).outcomes).toMatchObject([
      { outcome: 'refused', code: 'TOO_MANY_TOP_UPS' },
    ]);
    expect((await lineOf('lots-many')).flatMap(({ topUps }) => topUps)).toHaveLength(120);
  });

  it('a bad one refuses its line with what to mend, and nothing of it is written', async () => {
    const [good] = ((await lineOf('lots-many'))[0]?.['topUps'] ?? []) as Record<string, unknown>[];
    const codeOf = async (changes: Record<string, unknown>) => {
      const { outcomes } = await load([{ key: 'lots-bad', topUps: [{ ...good, ...changes }] }]);
      return outcomes[0]?.['code'];
    };
    expect(await codeOf({ remaining: 4 })).toBe('REMAINING_ABOVE_AMOUNT');
    expect(await codeOf({ feature: 'minuts' })).toBe('FEATURE_UNKNOWN');
    expect(await codeOf({ feature: 'seats' })).toBe('TOP_UP_NOT_METERED');
    expect(await codeOf({ scope: 'ada' })).toBe('TOP_UP_NOT_OF_ACCOUNT');
    expect(await codeOf({ product: 'nothing' })).toBe('PRODUCT_NOT_FOUND');
    expect(await codeOf({ endsAt: '2025-01-01T00:00:00Z' })).toBe('SPAN_EMPTY');
    expect(await codeOf({ id: 'one' })).toBeDefined();
    expect((await call('GET', '/customers/lots-bad')).status).toBe(404);
    const over = { ...good, endsAt: '2026-02-01T00:00:00Z' };
    expect((await load([{ key: 'lots-over', topUps: [over] }])).outcomes).toMatchObject([
      { outcome: 'created' },
    ]);
    expect(await lots('lots-over')).toEqual([]);
  });
});
