import { readFileSync } from 'node:fs';
import type { JsonValue } from '@pennon/engine/model/json';
import { namedParts } from '@pennon/engine/subject/named-parts';
import { askedKeys, type Credential, resolveSubject } from '@pennon/engine/subject/resolve-subject';
import { describe, expect, it } from 'vitest';

interface SubjectCase {
  readonly name: string;
  readonly credential?: Credential;
  readonly context: JsonValue;
  readonly expect: {
    readonly errorCode?: string;
    readonly names?: readonly string[];
    readonly [member: string]: unknown;
  };
}

interface Existing {
  readonly customers: readonly string[];
  readonly instances: readonly { readonly id: string; readonly key: string; readonly customer: string }[];
  readonly users: Readonly<Record<string, readonly string[]>>;
}

const file = new URL('../../../conformance/subject.json', import.meta.url);
const { cases, exists } = JSON.parse(readFileSync(file, 'utf8')) as {
  cases: readonly SubjectCase[];
  exists: Existing;
};

/** Looks up what `askedKeys` names and nothing else, as a store does. */
function resolve(one: SubjectCase): ReturnType<typeof resolveSubject> {
  const read = namedParts(one.context);
  if (!read.ok) return read;
  const credential = one.credential ?? 'server';
  const asked = askedKeys(credential, read.named);
  const instance = exists.instances.find(({ id, key }) => asked.instance === id || asked.instance === key);
  return resolveSubject({
    credential,
    context: read.context,
    named: read.named,
    lookup: {
      customers: new Set(asked.customers.filter((key) => exists.customers.includes(key))),
      instance:
        instance === undefined
          ? null
          : { id: instance.id, key: instance.key, customerKey: instance.customer, metadata: {} },
      customersOfUsers: new Map(asked.users.map((user) => [user, exists.users[user] ?? []])),
    },
  });
}

it('conformance: there are at least sixty cases of who is asked about', () => {
  expect(cases.length).toBeGreaterThanOrEqual(60);
});

describe('conformance: subject', () => {
  it.each(cases.map((one) => [one.name, one] as const))('%s', (_name, one) => {
    const result = resolve(one);
    if (!result.ok) {
      expect(one.expect.errorCode).toBe(result.code);
      for (const name of one.expect.names ?? []) expect(result.message).toContain(name);
      return;
    }
    const { proven, customerKey, instance, userKey, teamKey, teamClaimed, sku } = result.subject;
    expect({
      proven,
      customer: customerKey,
      instance: instance?.key ?? null,
      user: userKey,
      team: teamKey,
      sku,
      ...(teamClaimed === undefined ? {} : { teamClaimed }),
    }).toEqual(one.expect);
  });
});

it('a token puts its customer and user into the context, and keeps what else is said of the user', () => {
  const read = namedParts({ user: { key: 'bob', email: 'b@x' }, customer: { key: 'beta', vip: true } });
  if (!read.ok) throw new Error(read.message);
  const result = resolveSubject({
    credential: { token: { customer: 'acme', user: 'ada' } },
    context: read.context,
    named: read.named,
    lookup: { customers: new Set(), instance: null, customersOfUsers: new Map() },
  });
  expect(result.ok && result.context.parts).toEqual({
    user: { key: 'ada', email: 'b@x' },
    customer: { key: 'acme' },
  });
});

it('a part called __proto__ changes no prototype', () => {
  const read = namedParts(JSON.parse('{"__proto__":{"polluted":true},"user":"u"}'));
  if (!read.ok) throw new Error(read.message);
  expect('polluted' in read.context.parts).toBe(false);
  expect(Object.keys(read.context.parts).sort()).toEqual(['__proto__', 'user']);
});
