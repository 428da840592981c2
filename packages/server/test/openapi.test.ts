import { readFileSync } from 'node:fs';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { Ajv2020, type AnySchemaObject } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly required?: boolean;
}
interface Described {
  readonly operationId?: string;
  readonly summary?: string;
  readonly tags?: readonly string[];
  readonly parameters?: readonly Parameter[];
  readonly security?: readonly Readonly<Record<string, readonly string[]>>[];
  readonly responses?: Readonly<Record<string, { readonly description?: string; readonly content?: object }>>;
}
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Described>>>>;
  readonly components: { readonly securitySchemes: object };
}

let server: TestServer;
let document: Document;
let operations: readonly { readonly name: string; readonly path: string; readonly described: Described }[];

beforeAll(async () => {
  server = await startTestServer();
  document = (await server.request('GET', '/openapi.json', { key: null })).body;
  operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, described]) => ({ name: `${method} ${path}`, path, described })),
  );
});
afterAll(() => server.stop());

/** As https://spec.openapis.org/oas/3.1/schema publishes it. */
const META_SCHEMA = new URL('./openapi-3.1-schema.json', import.meta.url);

function metaSchema() {
  const ajv = new Ajv2020({ strict: false });
  addFormats.default(ajv);
  ajv.addFormat('media-range', true);
  return ajv.compile(JSON.parse(readFileSync(META_SCHEMA, 'utf8')) as AnySchemaObject);
}

/** What stands under `schema`, wherever a parameter, header or body has one. */
function* schemasIn(value: unknown): Generator<AnySchemaObject> {
  if (typeof value !== 'object' || value === null) return;
  for (const [name, member] of Object.entries(value)) {
    if (name === 'schema' && typeof member === 'object' && member !== null) yield member;
    else if (name !== 'examples' && name !== 'example') yield* schemasIn(member);
  }
}

/** The operations that something is wrong with, by name. */
function wrong(isWrong: (operation: (typeof operations)[number]) => boolean): readonly string[] {
  expect(operations.length).toBeGreaterThan(50);
  return operations.filter(isWrong).map(({ name }) => name);
}

describe('the description of the API', () => {
  it('is what the meta-schema of OpenAPI 3.1 calls one', () => {
    const isDescription = metaSchema();
    expect(isDescription(document), JSON.stringify(isDescription.errors)).toBe(true);
    // It would have said so: an operation without its answers, and a parameter that stands nowhere.
    for (const broken of [
      { '/x': { get: { responses: 1 } } },
      { '/x': { get: { parameters: [{ name: 'a', in: 'body' }] } } },
    ]) {
      expect(isDescription({ ...document, paths: broken })).toBe(false);
    }
  });

  it('has schemas that JSON Schema 2020-12 calls schemas, which the meta-schema leaves open', () => {
    const ajv = new Ajv2020({ strict: false });
    const schemas = [...schemasIn(document)];
    expect(schemas.length).toBeGreaterThan(500);
    expect(schemas.filter((schema) => ajv.validateSchema(schema) !== true)).toEqual([]);
    expect(ajv.validateSchema({ type: 'text' })).toBe(false);
  });

  it('names every operation once, with a summary and a tag', () => {
    const ids = operations.map(({ described }) => described.operationId);
    expect(new Set(ids).size).toBe(operations.length);
    expect(
      wrong(({ described }) => !described.operationId || !described.summary || !described.tags?.length),
    ).toEqual([]);
  });

  it('says of every operation which credentials it takes, in schemes that it declares', () => {
    const schemes = Object.keys(document.components.securitySchemes);
    expect(
      wrong(
        ({ described: { security } }) =>
          security === undefined || security.flatMap(Object.keys).some((name) => !schemes.includes(name)),
      ),
    ).toEqual([]);
  });

  it('describes an answer of every operation, and the refusals of all that take a credential, with their bodies', () => {
    expect(
      wrong(({ described }) => !Object.keys(described.responses ?? {}).some((code) => /^2/.test(code))),
    ).toEqual([]);
    const refusals = ['400', '401', '403', '404', '413', '415', '429', '500', '503'];
    expect(
      wrong(
        ({ described: { security, responses = {} } }) =>
          security?.length !== 0 && refusals.some((code) => responses[code]?.content === undefined),
      ),
    ).toEqual([]);
    expect(
      wrong(({ described }) =>
        Object.values(described.responses ?? {}).some((answer) => !answer.description),
      ),
    ).toEqual([]);
  });

  it('declares what stands in each path, once', () => {
    expect(
      wrong(({ path, described: { parameters = [] } }) => {
        const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort();
        const declared = parameters.filter((one) => one.in === 'path');
        return (
          JSON.stringify(declared.map((one) => one.name).sort()) !== JSON.stringify(named) ||
          declared.some((one) => one.required !== true) ||
          new Set(parameters.map((one) => `${one.in} ${one.name}`)).size !== parameters.length
        );
      }),
    ).toEqual([]);
  });
});
