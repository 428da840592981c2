import { readFileSync } from 'node:fs';
import { type HttpCase, movedToNow } from '@pennon/testkit/conformance-case';
import { type ConformanceServer, createConformanceServer } from '@pennon/testkit/conformance-http';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isMap, isSeq, parseDocument } from 'yaml';

const ROOT = new URL('../../../conformance/', import.meta.url);
const SUITES = ['evaluation', 'entitlements', 'consumption', 'reservations', 'downgrade', 'credits'] as const;

function cases(suite: string): readonly HttpCase[] {
  return JSON.parse(readFileSync(new URL(`${suite}.json`, ROOT), 'utf8')).cases;
}

/** What the server answers instead of the engine, each with its reason. */
const WIRE_DIFFERS: ReadonlyMap<string, NonNullable<HttpCase['expect']>> = new Map([
  // Bodies that could poison a prototype are refused at the door.
  ['K-1 a part named __proto__ is a part', { errorCode: 'PARSE_ERROR' }],
]);

/** The cases ask with client keys too, so everything in the catalog is visible to them. */
function visibleCatalog(name: string): { readonly text: string; readonly product: string } {
  const document = parseDocument(readFileSync(new URL(`catalogs/${name}.yaml`, ROOT), 'utf8'));
  for (const list of [document.get('features'), document.get('flags')]) {
    for (const item of isSeq(list) ? list.items : []) {
      if (isMap(item)) item.set('clientVisible', true);
    }
  }
  return { text: document.toString(), product: String(document.getIn(['product', 'key'])) };
}

/** Consumption follows the database's clock, which nobody sets: cases that move time are the engine's alone. */
function movesTime({ steps = [] }: HttpCase): boolean {
  return steps.some(({ at }) => at !== undefined);
}

/** Whose instants are moved, so that they are asked now. */
const MOVED: ReadonlySet<string> = new Set(['downgrade', 'credits']);

const all = SUITES.flatMap((suite) =>
  cases(suite)
    .filter((one) => !movesTime(one))
    .map((one) => ({ suite, one })),
);

describe.each([...new Set(all.map(({ one }) => one.catalog))])(
  'conformance over HTTP: catalog %s',
  (catalog) => {
    let server: TestServer;
    let conformance: ConformanceServer;
    let asked = 0;

    beforeAll(async () => {
      const { text, product } = visibleCatalog(catalog);
      server = await startTestServer({ catalog: text, product });
      conformance = createConformanceServer(server);
    });
    afterAll(() => server.stop());

    const ours = all.filter(({ one }) => one.catalog === catalog);
    it.each(ours.map(({ suite, one }) => [`${suite}: ${one.name}`, suite, one] as const))(
      '%s',
      async (_name, suite, one) => {
        const moves = MOVED.has(suite) && one.steps !== undefined;
        const asAsked = moves ? movedToNow(one, Date.now()) : one;
        const outcomes = await conformance.run(
          WIRE_DIFFERS.has(one.name) ? { ...asAsked, expect: WIRE_DIFFERS.get(one.name) ?? null } : asAsked,
        );
        for (const { actual, expected } of outcomes ?? []) {
          expect(actual).toMatchObject(expected);
        }
        asked += outcomes === null ? 0 : 1;
      },
    );

    it('asked nearly all of them', () => {
      expect(asked).toBeGreaterThan(ours.length * 0.9);
    });
  },
);
