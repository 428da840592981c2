import { randomBytes } from 'node:crypto';
import { startTestServer, type TestResponse, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { askFlag, auditOf, CATALOG, type Call, caller, ENVIRONMENT, reason } from './contracts-support.js';

let server: TestServer;
let other: TestServer;
let call: Call;
const SEGMENT = '/products/test/segments/demoing/members';
const GROUP = '/products/test/groups/beta/members';

beforeAll(async () => {
  const key = () => randomBytes(24).toString('hex');
  const keys = { admin: key(), server: key(), client: key() };
  server = await startTestServer({ catalog: CATALOG, keys });
  other = await startTestServer({ databaseUrl: server.databaseUrl, keys });
  call = caller(server);
});
afterAll(async () => {
  await other.stop();
  await server.stop();
});

function importCsv(
  path: string,
  text: string | ReadableStream<Uint8Array>,
  query = '',
  at = server,
): Promise<Response> {
  return fetch(`${at.url}${ENVIRONMENT}${path}/import?reason=${reason.replace(' ', '+')}${query}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${at.adminKey}`, 'content-type': 'text/csv' },
    body: text,
    ...(typeof text === 'string' ? {} : { duplex: 'half' }),
  } as RequestInit);
}

const sees = async (at: TestServer, context: Record<string, unknown>): Promise<boolean> =>
  (await askFlag(at, 'reports-ui', context)).body.value;

describe('members in bulk', () => {
  it('P-5 ten at once open a gated flag, and close it again when they are taken out', async () => {
    const keys = Array.from({ length: 10 }, (_, index) => `bulk-${index}`);
    for (const key of keys) expect(await sees(server, { customer: key })).toBe(false);
    const put = keys.map((key) => ({ kind: 'customer', key, endsAt: '2100-01-01T00:00:00Z' }));
    const added = await call('POST', SEGMENT, { put });
    expect(added.status).toBe(200);
    expect(added.body).toEqual({ created: 10, replaced: 0, unchanged: 0, removed: 0, absent: 0 });
    for (const key of keys) expect(await sees(server, { customer: key })).toBe(true);
    const token = added.headers.get('pennon-consistency') ?? '';
    const there = await askFlag(other, 'reports-ui', { customer: 'bulk-3' }, { 'pennon-consistency': token });
    expect(there.body.value).toBe(true);

    const again = await call('POST', SEGMENT, { put });
    expect(again.body).toEqual({ created: 0, replaced: 0, unchanged: 10, removed: 0, absent: 0 });
    const remove = [...keys, 'never-in'].map((key) => ({ kind: 'customer', key }));
    const removed = await call('POST', SEGMENT, { remove });
    expect(removed.body).toEqual({ created: 0, replaced: 0, unchanged: 0, removed: 10, absent: 1 });
    for (const key of keys) expect(await sees(server, { customer: key })).toBe(false);
  });

  it('P-5 users, teams and instances too: every customer of theirs hears of it', async () => {
    await call('POST', '/customers', { key: 'owner' });
    await call('PUT', '/customers/owner/users/ada', {});
    await call('PUT', '/customers/owner/instances/owner-eu', {});
    const before = (await call('GET', '/customers/owner')).body.version;
    const put = [
      { kind: 'user', key: 'ada' },
      { kind: 'instance', key: 'owner-eu' },
      { kind: 'team', key: 'crew' },
    ];
    expect((await call('POST', SEGMENT, { put })).body.created).toBe(3);
    expect((await call('GET', '/customers/owner')).body.version).toBe(before + 1);
    expect(await sees(server, { user: 'ada' })).toBe(true);
    expect(await sees(server, { instance: 'owner-eu' })).toBe(true);
    expect(await sees(server, { customer: 'owner', team: 'crew' })).toBe(true);
    expect(await sees(server, { customer: 'owner' })).toBe(false);
    expect((await call('POST', SEGMENT, { remove: put })).body.removed).toBe(3);
  });

  it('C-7 every member has an audit entry of its own, with its reason', async () => {
    await call('POST', SEGMENT, { put: [{ kind: 'customer', key: 'audited', reason: 'of its own' }] });
    const { rows } = await server.parts.database.pool.query<{ id: string }>(
      "select id from membership where member_key = 'audited'",
    );
    const [entry] = await auditOf(server, rows[0]?.id ?? '');
    expect(entry).toMatchObject({
      action: 'membership.create',
      reason,
      // Keys of members may be people's, so that the bytes name them by an id of their own.
      after: {
        member: { kind: 'customer', key: expect.stringMatching(/^subject:/) },
        reason: 'of its own',
        endsAt: null,
      },
    });
  });

  it.each<[string, string, Record<string, unknown>, number, string]>([
    ['a team in a group', GROUP, { put: [{ kind: 'team', key: 'crew' }] }, 422, 'MEMBER_KIND_REFUSED'],
    [
      'a member named twice',
      SEGMENT,
      { put: [{ kind: 'user', key: 'x' }], remove: [{ kind: 'user', key: 'x' }] },
      422,
      'MEMBER_TWICE',
    ],
    [
      'an end before the start',
      SEGMENT,
      {
        put: [
          { kind: 'user', key: 'fine' },
          { kind: 'user', key: 'x', endsAt: '2001-01-01T00:00:00Z' },
        ],
      },
      422,
      'SPAN_EMPTY',
    ],
    [
      'a day that does not exist',
      SEGMENT,
      { put: [{ kind: 'user', key: 'x', endsAt: '2031-02-30T00:00:00Z' }] },
      400,
      'TIME_INVALID',
    ],
    ['an unknown kind', SEGMENT, { put: [{ kind: 'robot', key: 'x' }] }, 400, 'VALIDATION_FAILED'],
    [
      'an unknown segment',
      '/products/test/segments/demoin/members',
      { put: [{ kind: 'user', key: 'x' }] },
      422,
      'SEGMENT_UNKNOWN',
    ],
    [
      'too many',
      SEGMENT,
      { put: Array.from({ length: 2001 }, (_, index) => ({ kind: 'user', key: `u${index}` })) },
      400,
      'VALIDATION_FAILED',
    ],
  ])('refuses %s, and then nothing of the call stands', async (_what, path, body, status, code) => {
    const before = await memberCount();
    const answer = await call('POST', path, body);
    expect([answer.status, answer.body.code]).toEqual([status, code]);
    expect(await memberCount()).toBe(before);
  });

  it('two processes that put the same members in at once make each of them once', async () => {
    const put = Array.from({ length: 200 }, (_, index) => ({ kind: 'customer', key: `race-${index}` }));
    const callers = [caller(server), caller(other)];
    const answers: TestResponse[] = await Promise.all(
      Array.from({ length: 8 }, (_, index) => (callers[index % 2] ?? call)('POST', SEGMENT, { put })),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 8 }, () => 200));
    expect(answers.reduce((sum, { body }) => sum + body.created, 0)).toBe(200);
    const { rows } = await server.parts.database.pool.query<{ count: number }>(
      "select count(*)::int as count from membership where member_key like 'race-%'",
    );
    expect(rows[0]?.count).toBe(200);
  });
});

async function memberCount(): Promise<number> {
  const { rows } = await server.parts.database.pool.query<{ count: number }>(
    'select count(*)::int as count from membership',
  );
  return rows[0]?.count ?? -1;
}

describe('members as CSV', () => {
  it('P-5 puts the lines of a file in and takes them out; a wrong line refuses only itself', async () => {
    const file = [
      'key,kind,endsAt,reason',
      'csv-a,customer,2100-01-01T00:00:00Z,"a demo, with a comma"',
      'csv-b,customer,,',
      'csv-c,robot,,',
      ',customer,,',
      'csv-d,user,2001-01-01T00:00:00Z,',
      'csv-e,user,soon,',
      '',
      '"csv ""f""",customer,,',
      'csv-b,customer,2100-01-01T00:00:00Z,said anew',
    ].join('\r\n');
    const answer = await importCsv(SEGMENT, `\uFEFF${file}`);
    expect(answer.status).toBe(200);
    expect(await answer.json()).toEqual({
      created: 3,
      replaced: 1,
      unchanged: 0,
      removed: 0,
      absent: 0,
      refused: 4,
      faults: [
        expect.objectContaining({ line: 4, code: 'MEMBER_KIND_UNKNOWN' }),
        expect.objectContaining({ line: 5, code: 'MEMBER_KEY_REFUSED' }),
        expect.objectContaining({ line: 7, code: 'TIME_INVALID' }),
        expect.objectContaining({ line: 6, code: 'SPAN_EMPTY' }),
      ],
    });
    expect(await sees(server, { customer: 'csv-a' })).toBe(true);
    expect((await call('GET', `${SEGMENT}/customer/csv-a`)).body.reason).toBe('a demo, with a comma');

    const out = await importCsv(SEGMENT, file, '&mode=remove');
    expect(await out.json()).toMatchObject({ removed: 3, absent: 2 });
    expect(await sees(server, { customer: 'csv-a' })).toBe(false);
  });

  it('the file that is exported puts the same members in again', async () => {
    await call('POST', GROUP, {
      put: [
        { kind: 'customer', key: 'x,1', endsAt: '2100-01-01T00:00:00Z', reason: 'of "this"' },
        { kind: 'customer', key: 'x 2', startsAt: '2027-01-01T00:00:00Z' },
      ],
    });
    const exported = await server.request('GET', `${ENVIRONMENT}${GROUP}/export`);
    expect(exported.headers.get('content-type')).toBe('text/csv; charset=utf-8');
    expect(exported.text.split('\r\n')[0]).toBe('kind,key,startsAt,endsAt,reason');
    const again = await (await importCsv(GROUP, exported.text)).json();
    expect(again).toMatchObject({ created: 0, replaced: 0, unchanged: 2, refused: 0 });
    await call('POST', GROUP, { remove: [{ kind: 'customer', key: 'x,1' }] });
    expect(await (await importCsv(GROUP, exported.text)).json()).toMatchObject({ created: 1, unchanged: 1 });
  });

  it.each([
    ['no heading', 'a,b\r\n', 400, 'CSV_COLUMN_UNKNOWN'],
    ['a misspelt column', 'kind,kye\r\ncustomer,x', 400, 'CSV_COLUMN_UNKNOWN'],
    ['no key', 'kind,reason\r\ncustomer,x', 400, 'CSV_COLUMN_MISSING'],
    ['a column twice', 'key,key\r\nx,y', 400, 'CSV_COLUMN_TWICE'],
    ['nothing', '', 400, 'CSV_EMPTY'],
  ])('refuses a file with %s', async (_what, text, status, code) => {
    const answer = await importCsv(SEGMENT, text);
    expect([answer.status, (await answer.json()).code]).toEqual([status, code]);
  });

  it('what cannot be read on is told with its line, and what was before it stands', async () => {
    const answer = await importCsv(SEGMENT, 'kind,key\ncustomer,before\ncustomer,"open\ncustomer,after');
    expect(await answer.json()).toMatchObject({
      created: 1,
      refused: 1,
      faults: [{ line: 3, code: 'CSV_MALFORMED' }],
    });
    expect((await call('GET', `${SEGMENT}/customer/before`)).status).toBe(200);
    expect((await call('GET', `${SEGMENT}/customer/after`)).status).toBe(404);
  });

  it('refuses another media type, and bytes that are no text', async () => {
    const json = await call('POST', `${SEGMENT}/import?reason=x`, {});
    expect([json.status, json.body.code]).toEqual([415, 'MEDIA_TYPE_REFUSED']);
    const bytes = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(Buffer.from('kind,key\ncustomer,'));
        controller.enqueue(new Uint8Array([0xff, 0xfe]));
        controller.close();
      },
    });
    const broken = await importCsv(SEGMENT, bytes);
    expect([broken.status, (await broken.json()).code]).toEqual([400, 'BODY_NOT_UTF8']);
  });

  it('a sender that goes away leaves what was taken, and the server goes on', async () => {
    const lines = Array.from({ length: 2500 }, (_, index) => `customer,gone-${index}`).join('\n');
    const abort = new AbortController();
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(Buffer.from(`kind,key\n${lines}\n`));
      },
    });
    const sent = fetch(`${server.url}${ENVIRONMENT}${SEGMENT}/import?reason=x`, {
      method: 'POST',
      headers: { authorization: `Bearer ${server.adminKey}`, 'content-type': 'text/csv' },
      body,
      duplex: 'half',
      signal: abort.signal,
    } as RequestInit).catch(() => null);
    await expect.poll(() => goneCount(), { timeout: 20_000, interval: 100 }).toBeGreaterThanOrEqual(2000);
    abort.abort();
    await sent;
    expect(await goneCount()).toBeGreaterThanOrEqual(2000);
    expect((await call('GET', SEGMENT)).status).toBe(200);
  });
});

async function goneCount(): Promise<number> {
  const { rows } = await server.parts.database.pool.query<{ count: number }>(
    "select count(*)::int as count from membership where member_key like 'gone-%'",
  );
  return rows[0]?.count ?? -1;
}
