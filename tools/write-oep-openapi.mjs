#!/usr/bin/env node
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { argv, exit, stdout } from 'node:process';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { composeServer } from '../packages/server/dist/compose.js';
import { createLog } from '../packages/server/dist/log.js';
import { Secret } from '../packages/server/dist/service/secret.js';

/*
 * Writes `docs/spec/oep.openapi.json`: the routes of OEP as the server declares them, without what only this server has. The server is
 * put together and never opened, so that no database is needed. `--check` writes nothing and ends with 1 where the file is another.
 */

const FILE = new URL('../docs/spec/oep.openapi.json', import.meta.url);
const SCHEMA_FILES = ['schemas', 'remedy', 'usage-schemas', 'history-schemas'];

/** The document as text, with the line break at its end. */
export async function oepOpenApi() {
  const secret = () => new Secret(randomBytes(24).toString('hex'));
  const server = await composeServer({
    databaseUrl: new Secret('postgres://nobody@127.0.0.1:1/nothing'),
    dataDirectory: null,
    fixedKeys: { admin: secret(), server: secret(), client: secret() },
    preferredProducts: [],
    version: '0.1',
    log: createLog('silent'),
  });
  try {
    await server.app.ready();
    return `${JSON.stringify(await protocolOnly(server.app.swagger()), null, 2)}\n`;
  } finally {
    await server.close();
  }
}

async function protocolOnly({ openapi, paths }) {
  const named = await namedSchemas();
  const schemas = {};
  const own = Object.entries(paths).filter(([path]) => path.startsWith('/oep/'));
  const described = own.map(([path, methods]) => [
    path,
    Object.fromEntries(
      Object.entries(methods).map(([method, operation]) => [
        method,
        withNames(plain(neutral(path, operation)), named, schemas),
      ]),
    ),
  ]);
  return {
    openapi,
    info: {
      title: 'Open Entitlement Protocol',
      version: '0.1',
      summary: 'May this customer do this, and how much is left.',
      description:
        'Draft 0.1. What each member means and which rules hold is told by `oep.md` beside this file.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    paths: Object.fromEntries(described.sort(([one], [other]) => (one < other ? -1 : 1))),
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'A key of the server.' },
        apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key', description: 'The same key.' },
      },
      schemas: Object.fromEntries(Object.entries(schemas).sort(([one], [other]) => (one < other ? -1 : 1))),
    },
  };
}

const WORDS = {
  200: 'Done.',
  201: 'Made.',
  202: 'Taken, with a result for each.',
  304: 'Nothing but meters has moved.',
  400: 'The request is not valid.',
  401: 'No key, or one that is not valid.',
  403: 'This key may not do that.',
  404: 'There is no such thing, or this key may not see it.',
  409: 'It is final.',
  410: 'It is over.',
  413: 'The body is too large.',
  415: 'The body is of another type.',
  422: 'The `Idempotency-Key` was sent before with another body.',
  429: 'Later: `Retry-After` says in how many seconds.',
  500: 'A defect of the server.',
  503: 'Not now, and the outcome is unknown: the same key asks again after `Retry-After` seconds.',
};
const RETRY_AFTER = { 'Retry-After': { required: true, schema: { type: 'integer', minimum: 1 } } };

/** Without what this server adds to say who may call, and with words of the protocol. */
function neutral(path, { 'x-pennon-access': _, security, responses, ...operation }) {
  const possible = Object.entries(responses).filter(([status]) => canBe(status, path, operation));
  const described = possible.map(([status, { content, ...one }]) => [
    status,
    {
      ...one,
      ...(status === '304' ? {} : { content }),
      description: WORDS[status] ?? one.description,
      ...(status === '429' || status === '503' ? { headers: RETRY_AFTER } : {}),
    },
  ]);
  return {
    ...operation,
    responses: Object.fromEntries(described),
    security: security.filter((one) => !('customerToken' in one)),
  };
}

/** The routes share one list of faults; here each call has those that it can answer. */
function canBe(status, path, { parameters = [] }) {
  switch (status) {
    case '404':
      return path !== '/oep/v1/configuration';
    case '409':
      return path.includes('{id}/');
    case '410':
      return path.endsWith('{id}/settle');
    case '422':
      return parameters.some((one) => one.name === 'idempotency-key');
    default:
      return true;
  }
}

/** The schemas of the protocol by their plain text, under their names without the prefix. */
async function namedSchemas() {
  const named = new Map();
  for (const file of SCHEMA_FILES) {
    const path = new URL(`../packages/protocol/dist/oep/${file}.js`, import.meta.url);
    if (!existsSync(path)) continue;
    for (const [name, schema] of Object.entries(await import(path.href))) {
      if (typeof schema !== 'object' || schema === null) continue;
      const { type, anyOf } = schema;
      if (type !== 'object' && anyOf === undefined) continue;
      named.set(plainText(schema), name.replace(/^Oep/, '').replace(/Schema$/, ''));
    }
  }
  return named;
}

/** One text for a schema however it is written: the collector of routes writes constants and records in its own way. */
function plainText(schema) {
  return JSON.stringify(plain(schema));
}

function plain(value) {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  const { const: constant, patternProperties, ...rest } = value;
  if (constant !== undefined) rest.enum = [constant];
  if (patternProperties !== undefined) rest.additionalProperties = Object.values(patternProperties)[0];
  const choices = rest.anyOf;
  if (choices?.every((one) => one.type === 'string' && (one.const ?? one.enum) !== undefined)) {
    delete rest.anyOf;
    rest.type = 'string';
    rest.enum = choices.flatMap((one) => one.enum ?? [one.const]);
  }
  return Object.fromEntries(
    Object.entries(rest)
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([name, one]) => [name, plain(one)]),
  );
}

/** Replaces every schema that has a name by a reference to it, and collects those that are referred to. */
function withNames(value, named, collected) {
  if (Array.isArray(value)) return value.map((one) => withNames(one, named, collected));
  if (typeof value !== 'object' || value === null) return value;
  const name = named.get(JSON.stringify(value));
  if (name === undefined) return members(value, named, collected);
  if (collected[name] === undefined) {
    collected[name] = {};
    collected[name] = members(value, named, collected);
  }
  return { $ref: `#/components/schemas/${name}` };
}

function members(value, named, collected) {
  return Object.fromEntries(
    Object.entries(value).map(([name, one]) => [name, withNames(one, named, collected)]),
  );
}

if (import.meta.url === pathToFileURL(argv[1] ?? '').href) {
  const text = await oepOpenApi();
  const file = fileURLToPath(FILE);
  if (!argv.includes('--check')) {
    writeFileSync(file, text);
    stdout.write(`${file}\n`);
  } else if (readFileSync(file, 'utf8') !== text) {
    stdout.write(
      'docs/spec/oep.openapi.json is not what the server declares. Write it anew: npm run docs:oep\n',
    );
    exit(1);
  }
}
