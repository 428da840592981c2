import { describe, expect, it } from 'vitest';
import { compileExpression } from '../cel/compile-expression.js';
import { CelError, type CelValue } from '../cel/values.js';
import type { Catalog } from '../model/catalog.js';
import type { JsonValue } from '../model/json.js';
import { EMPTY_CATALOG } from './draft.js';
import {
  type ExpressionFrame,
  type ExpressionLayer,
  expressionEnvironment,
} from './expression-environment.js';

const catalog: Catalog = {
  ...EMPTY_CATALOG,
  product: { key: 'x', sku: '{region}-{tier}-{seats:int}' },
  context: {
    user: { properties: { key: { type: 'string' }, age: { type: 'integer' } } },
    device: { type: 'object', properties: { tags: { type: 'array', items: { type: 'string' } } } },
  },
  features: [
    { key: 'on', type: 'boolean' },
    { key: 'size', type: 'limit' },
    { key: 'mails', type: 'metered' },
    { key: 'theme', type: 'config' },
  ],
  segments: [{ key: 'staff' }],
  flags: [
    { key: 'tries', type: 'integer' },
    { key: 'speed', type: 'float' },
  ],
};

const parts: Readonly<Record<string, JsonValue>> = {
  user: { key: 'u', age: 30 },
  plan: { tier: 'pro', version: 1, key: 'eu-pro-5', region: 'eu', seats: 5 },
  customer: { key: 'acme', region: 'eu', attributes: { region: 'eu' } },
  license: { id: 'l', kind: 'paid', status: 'active' },
  environment: 'production',
  tokens_in: 3,
  tokens_out: 4,
};

const frame: ExpressionFrame = {
  sent: parts,
  targetingKey: undefined,
  plan: parts['plan'],
  fact: (name) => parts[name],
  entitlement: (key) => (key === 'on' ? true : key === 'theme' ? { dark: true } : key === 'size' ? 7 : false),
  limit: () => 100,
  usage: () => 40,
  remaining: () => 60,
  segment: (key) => key === 'staff',
  flag: (key) => (key === 'tries' ? 3 : 1),
  nowMilliseconds: Date.UTC(2027, 0, 1),
};

function run(
  text: string,
  layer: ExpressionLayer = 'flag',
  over: Partial<ExpressionFrame> = {},
): CelValue | CelError | string[] {
  const result = compileExpression(text, expressionEnvironment({ catalog, layer }));
  return result.ok
    ? result.expression.evaluate({ ...frame, ...over })
    : result.issues.map(({ code }) => code);
}

describe('expressionEnvironment', () => {
  it.each([
    'user.age + 1 == 31',
    'plan.tier == "pro" && plan.version == 1 && plan.seats * 2 == 10 && plan.region == "eu"',
    'customer.key == "acme" && customer.region == "eu" && customer.attributes.region == "eu"',
    'license.status == "active" && environment == "production"',
    'entitlement("on") == true && entitlement("mails") == false && entitlement("theme").dark',
    'entitlement("size") + 1 == 8',
    'limit("size") - usage("mails") == remaining("mails")',
    'segment("staff") && flag("tries") + 1 == 4 && flag("speed") + 0.5 == 1.5',
    'now >= timestamp("2027-01-01T00:00:00Z") && now < timestamp("2027-01-01T00:00:01Z")',
  ])('K-3 sees the context and server facts: %s', (text) => {
    expect(run(text)).toBe(true);
  });

  it('K-9 a measure sees the attributes of a usage as integers, and nothing else', () => {
    expect(run('tokens_in + 2 * tokens_out', 'measure')).toBe(11n);
    expect(run('now', 'measure')).toEqual(['FORBIDDEN']);
    expect(run('segment("staff")', 'measure')).toEqual(['FORBIDDEN']);
  });

  it('a segment sees context, facts and segments, but no rights and no flags', () => {
    expect(run('plan.tier == "pro" && segment("staff")', 'segment')).toBe(true);
    for (const name of ['entitlement', 'limit', 'usage', 'remaining', 'flag']) {
      expect(run(`${name}("mails") == 1`, 'segment'), name).toEqual(['FORBIDDEN']);
    }
  });

  it('what is not declared is an issue where a context is declared, and open where none is', () => {
    expect(run('browser.name == "x"')).toEqual(['UNKNOWN_VARIABLE']);
    expect(run('plan.country == "x"')).toEqual(['UNKNOWN_ATTRIBUTE']);
    const { context: _, ...open } = catalog;
    const result = compileExpression(
      'browser.name == "x"',
      expressionEnvironment({ catalog: open, layer: 'flag' }),
    );
    expect(result.ok).toBe(true);
  });

  it('what the frame cannot answer is an error and no match', () => {
    const away = new CelError(
      'HOST_FAILED',
      'the customer could not be read',
      undefined,
      'CUSTOMER_STATE_UNAVAILABLE',
    );
    const answer = run('entitlement("on") == true', 'flag', { entitlement: () => away });
    expect(answer).toBeInstanceOf(CelError);
    expect(answer).toMatchObject({ detail: 'CUSTOMER_STATE_UNAVAILABLE' });
  });
});
