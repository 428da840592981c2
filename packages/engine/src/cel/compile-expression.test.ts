import { describe, expect, it } from 'vitest';
import { compileExpression } from './compile-expression.js';
import { toCelType } from './json.js';
import { type CelEnvironment, DYN, STRING, TIMESTAMP } from './types.js';
import { CelError, CelTimestamp, type CelValue } from './values.js';

type Frame = Readonly<Record<string, unknown>>;

const USER = toCelType({
  type: 'object',
  properties: {
    email: { type: 'string' },
    country: { type: 'string' },
    age: { type: 'integer' },
    score: { type: 'number' },
    beta: { type: 'boolean' },
    tags: { type: 'array', items: { type: 'string' } },
    levels: { type: 'array', items: { type: 'integer' } },
    address: { type: 'object', properties: { city: { type: 'string' } } },
  },
});

const ENVIRONMENT: CelEnvironment<Frame> = {
  variables: new Map([
    ['user', { type: USER, read: (frame: Frame) => frame.user }],
    [
      'plan',
      { type: toCelType({ type: 'object', additionalProperties: true }), read: (frame: Frame) => frame.plan },
    ],
    ['now', { type: TIMESTAMP, clock: true, read: () => CelTimestamp.fromMilliseconds(1_800_000_000_000) }],
  ]),
  functions: new Map([
    [
      'entitlement',
      {
        parameters: [STRING],
        result: DYN,
        literalArguments: true,
        checkLiteral: (key: string) =>
          key === 'ai-tokens'
            ? undefined
            : { message: `There is no feature \`${key}\``, suggestion: 'ai-tokens' },
        call: (frame: Frame, [key = null]: readonly CelValue[]) =>
          key === frame.entitled
            ? true
            : new CelError('HOST_FAILED', 'unknown', undefined, 'CUSTOMER_STATE_UNAVAILABLE'),
      },
    ],
  ]),
  forbidden: new Map([
    ['usage', 'segments are decided before usage is known'],
    ['secret', 'it is not for rules'],
  ]),
};

const OPEN: CelEnvironment<Frame> = {
  ...ENVIRONMENT,
  otherVariable: (name) => ({
    type: DYN,
    read: (frame) => (Object.hasOwn(frame, name) ? frame[name] : undefined),
  }),
};

function compile(text: string, environment = ENVIRONMENT) {
  const compiled = compileExpression(text, environment);
  if (!compiled.ok) throw new Error(compiled.issues.map((issue) => issue.message).join('\n'));
  return compiled.expression;
}

function evaluate(text: string, frame: Frame = {}, environment = ENVIRONMENT): CelValue | CelError {
  return compile(text, environment).evaluate(frame);
}

function issuesOf(text: string, environment = ENVIRONMENT): string[] {
  const compiled = compileExpression(text, environment);
  if (compiled.ok) return [];
  return compiled.issues.map(
    ({ line, column, end, offset, code }) => `${line}:${column}+${end - offset} ${code}`,
  );
}

const code = (result: CelValue | CelError): string => (result instanceof CelError ? result.code : 'value');

describe('issues stand where the fault is', () => {
  it.each([
    ['user.age >= ', ['1:13+0 SYNTAX']],
    ['user.age >= && user.beta', ['1:13+2 SYNTAX']],
    ['user.emial == "a"', ['1:6+5 UNKNOWN_ATTRIBUTE']],
    ['usr.email == "a"', ['1:1+3 UNKNOWN_VARIABLE']],
    ['user.email == 5', ['1:12+2 WRONG_TYPE']],
    ['user.beta &&\n  user.age', ['2:3+8 WRONG_TYPE']],
    ['user.email.startWith("a")', ['1:12+9 UNKNOWN_FUNCTION']],
    ['user.email.startsWith(5)', ['1:23+1 WRONG_TYPE']],
    ['user.email.startsWith()', ['1:12+12 WRONG_ARGUMENTS']],
    ['user.email.matches("a(b")', ['1:21+3 INVALID_PATTERN']],
    ['user.email.matches(user.country)', ['1:20+12 PATTERN_NOT_LITERAL']],
    ['entitlement("ai-tokesn")', ['1:13+11 INVALID_ARGUMENT']],
    ['entitlement(user.email)', ['1:13+10 ARGUMENT_NOT_LITERAL']],
    ['usage("x") > 3', ['1:1+5 FORBIDDEN']],
    ['secret.key == "x"', ['1:1+6 FORBIDDEN']],
    ['has(user)', ['1:5+4 INVALID_MACRO']],
    ['user.tags.all(1, true)', ['1:15+1 INVALID_MACRO']],
    ['google.protobuf.Value{a: 1}', ['1:1+21 UNSUPPORTED']],
    ['user.?email', ['1:6+1 UNSUPPORTED']],
    ['9223372036854775808 > 1', ['1:1+19 INVALID_LITERAL']],
    ['user.country = "DE"', ['1:14+1 SYNTAX']],
    ['user.country == “DE”', ['1:17+4 SYNTAX']],
    ['"é🐱" == \'x', ['1:10+2 SYNTAX']],
    ['"a\\q" == "a"', ['1:3+2 SYNTAX']],
    ['user.age + 1.5 > 2.0', ['1:10+1 WRONG_TYPE']],
    ['user.beta ? 1 : "a"', ['1:17+3 WRONG_TYPE']],
  ])('%s', (text, wanted) => {
    expect(issuesOf(text)).toEqual(wanted);
  });

  it('reports several faults of one text, with a tree that goes on behind each', () => {
    expect(issuesOf('usr.a == 1 && user.emial == "x" && [1, 2 3].exists(x, x > )')).toEqual([
      '1:1+3 UNKNOWN_VARIABLE',
      '1:20+5 UNKNOWN_ATTRIBUTE',
      '1:42+1 SYNTAX',
      '1:59+1 SYNTAX',
    ]);
  });

  it('suggests what was probably meant', () => {
    const suggestions = [
      'usr.age > 1',
      'user.emial == ""',
      'user.email.startWith("")',
      'entitlment("x")',
      'user.Email == ""',
    ].map((text) => {
      const compiled = compileExpression(text, ENVIRONMENT);
      return compiled.ok ? 'fine' : compiled.issues[0]?.suggestion;
    });
    expect(suggestions).toEqual(['user', 'email', 'startsWith', 'entitlement', 'email']);
    const far = compileExpression('zzzzzz.age > 1', ENVIRONMENT);
    expect(far.ok ? undefined : far.issues[0]).not.toHaveProperty('suggestion');
  });

  it('says in words what to do next', () => {
    const message = (text: string): string => {
      const compiled = compileExpression(text, ENVIRONMENT);
      return compiled.ok ? '' : (compiled.issues[0]?.message ?? '');
    };
    expect(message('user.emial == ""')).toBe('There is no attribute `emial`; did you mean `email`?');
    expect(message('user.beta and user.beta')).toContain('write `&&`');
    expect(message('user.country = "DE"')).toContain('`==`');
    expect(message('usage("x") > 3')).toContain('segments are decided before usage is known');
  });
});

describe('bombs are refused before they run, or cut while they do', () => {
  const refusals: [string, string, string][] = [
    ['500 parentheses', `${'('.repeat(500)}1${')'.repeat(500)}`, 'TOO_DEEP'],
    ['2,000 open brackets', '['.repeat(2000), 'TOO_DEEP'],
    ['500 open calls', 'size('.repeat(500), 'TOO_DEEP'],
    ['500 open maps', '{1:'.repeat(500), 'TOO_DEEP'],
    ['500 nested branches', `${'(true ? '.repeat(500)}1`, 'TOO_DEEP'],
    ['50,000 chained ORs', Array.from({ length: 50_000 }, () => 'true').join(' || '), 'TOO_LONG'],
    ['900 chained ORs', Array.from({ length: 900 }, () => 'a').join('||'), 'TOO_LARGE'],
    ['900 chained sums', Array.from({ length: 900 }, () => '1').join('+'), 'TOO_LARGE'],
    ['a long list behind `in`', `1 in [${Array.from({ length: 1500 }, () => '1').join(',')}]`, 'TOO_LARGE'],
    ['2,000 minus signs', `${'-'.repeat(2000)}user.age == `, 'SYNTAX'],
    ['1,000 selections', `user${'.a'.repeat(1000)}`, 'TOO_LARGE'],
    ['a megabyte', 'a'.repeat(1_000_000), 'TOO_LONG'],
    ['three nested loops', '[1].all(a, [1].all(b, [1].all(c, true)))', 'COMPREHENSION_TOO_DEEP'],
    [
      'a costly loop',
      `user.tags.all(a, user.tags.all(b, ${Array.from({ length: 20 }, () => 'a == b').join('&&')}))`,
      'TOO_COSTLY',
    ],
    ['a pattern that unrolls', 'user.email.matches("(((a{9}){9}){9}b{999}){1}")', 'INVALID_PATTERN'],
    ['a long pattern', `user.email.matches("${'a'.repeat(300)}")`, 'INVALID_PATTERN'],
  ];
  it.each(refusals)('%s', (_, text, wanted) => {
    const started = performance.now();
    const compiled = compileExpression(text, ENVIRONMENT);
    expect(performance.now() - started).toBeLessThan(500);
    expect(compiled.ok ? [] : compiled.issues.map((issue) => issue.code)).toContain(wanted);
  });

  const cuts: [string, string, Frame, string][] = [
    [
      'doubling a text',
      `user.email${' + user.email'.repeat(40)}`,
      { user: { email: 'x'.repeat(9_000) } },
      'SIZE_LIMIT',
    ],
    [
      'doubling a list',
      `size(user.tags${' + user.tags'.repeat(40)})`,
      { user: { tags: Array.from({ length: 900 }, () => 'x') } },
      'SIZE_LIMIT',
    ],
    [
      'a loop over 100,000',
      'user.tags.all(t, t != "y")',
      { user: { tags: Array.from({ length: 100_000 }, () => 'x') } },
      'COST_LIMIT',
    ],
    [
      'two loops over 2,000',
      'user.tags.exists(t, user.tags.exists(u, u != t))',
      { user: { tags: Array.from({ length: 2_000 }, () => 'x') } },
      'COST_LIMIT',
    ],
    [
      'scans in a loop',
      'user.tags.all(t, !user.email.contains("ab"))',
      { user: { tags: Array.from({ length: 500 }, () => 'x'), email: 'a'.repeat(60_000) } },
      'COST_LIMIT',
    ],
    ['a long subject', 'user.email.matches("(a+)+$")', { user: { email: 'a'.repeat(5_000) } }, 'SIZE_LIMIT'],
    [
      'replacing to excess',
      'size(user.email.replace("a", user.email)) > 0',
      { user: { email: 'a'.repeat(2_000) } },
      'SIZE_LIMIT',
    ],
    [
      'splitting to excess',
      'size(user.email.split("")) > 0',
      { user: { email: 'a'.repeat(2_000) } },
      'SIZE_LIMIT',
    ],
  ];
  it.each(cuts)('%s', (_, text, frame, wanted) => {
    const started = performance.now();
    expect(code(evaluate(text, frame))).toBe(wanted);
    expect(performance.now() - started).toBeLessThan(500);
  });

  it('S-3 the classic pattern answers within its budget', () => {
    const started = performance.now();
    expect(evaluate('user.email.matches("(a+)+$")', { user: { email: `${'a'.repeat(4_000)}b` } })).toBe(
      false,
    );
    expect(performance.now() - started).toBeLessThan(500);
  });

  it('accepts what the limits allow', () => {
    expect(evaluate(`${'('.repeat(32)}7${')'.repeat(32)}`)).toBe(7n);
    expect(
      evaluate(Array.from({ length: 240 }, () => 'user.beta').join('||'), { user: { beta: true } }, OPEN),
    ).toBe(true);
    expect(evaluate('user.tags.exists(t, user.tags.exists(u, u != t))', { user: { tags: ['a', 'b'] } })).toBe(
      true,
    );
  });
});

describe('hostile and incomplete contexts', () => {
  const poison: unknown = JSON.parse(
    '{"user": {"__proto__": {"beta": true, "email": "x"}, "constructor": "c"}}',
  );
  const frame = poison as Frame;

  it('S-4 never reaches a prototype', () => {
    for (const name of [
      'constructor',
      'toString',
      'hasOwnProperty',
      'valueOf',
      '__defineGetter__',
      'isPrototypeOf',
    ]) {
      expect(code(evaluate(`part.\`${name}\``, { part: {} }, OPEN))).toBe('NO_SUCH_ATTRIBUTE');
      expect(evaluate(`has(part.\`${name}\`)`, { part: {} }, OPEN)).toBe(false);
      expect(evaluate(`"${name}" in part`, { part: {} }, OPEN)).toBe(false);
      expect(code(evaluate(`dyn(part)["${name}"]`, { part: {} }, OPEN))).toBe('NO_SUCH_KEY');
    }
    expect(code(evaluate('part.__proto__.admin', { part: {} }, OPEN))).toBe('NO_SUCH_ATTRIBUTE');
    expect(evaluate('user.constructor == "c"', frame, { ...OPEN, variables: new Map() })).toBe(true);
    expect(code(evaluate('user.beta', frame))).toBe('NO_SUCH_ATTRIBUTE');
  });

  it('S-4 reads own properties only, also where a prototype was tampered with', () => {
    const expression = compile('part.admin == true', OPEN);
    const index = compile('[part].exists(p, p.admin)', OPEN);
    expect(code(expression.evaluate({ part: {} }))).toBe('NO_SUCH_ATTRIBUTE');
    const prototype = Object.prototype as { admin?: boolean };
    prototype.admin = true;
    try {
      expect(code(expression.evaluate({ part: {} }))).toBe('NO_SUCH_ATTRIBUTE');
      expect(expression.evaluate({ part: { admin: true } })).toBe(true);
      expect(code(index.evaluate({ part: {} }))).toBe('NO_SUCH_KEY');
    } finally {
      delete prototype.admin;
    }
    expect(code(expression.evaluate({ part: {} }))).toBe('NO_SUCH_ATTRIBUTE');
  });

  it('never reads what a list, a text or a time is made of', () => {
    for (const text of ['part.length', 'part.`0`', 'part.map', 'has(part.length)']) {
      expect(code(evaluate(text, { part: ['a'] }, OPEN))).not.toBe('value');
      expect(code(evaluate(text, { part: 'abc' }, OPEN))).not.toBe('value');
    }
    expect(code(evaluate('dyn(now).seconds'))).toBe('NO_SUCH_OVERLOAD');
    expect(code(evaluate('dyn(now)["seconds"]'))).toBe('NO_SUCH_OVERLOAD');
    expect(code(evaluate('part.seconds', { part: new CelTimestamp(1, 0) }, OPEN))).toBe('NO_SUCH_ATTRIBUTE');
    expect(code(evaluate('part.code', { part: new CelError('HOST_FAILED', 'away') }, OPEN))).toBe(
      'HOST_FAILED',
    );
  });

  it('names the absent attribute and never matches it', () => {
    const result = evaluate('user.address.city == "Berlin"', { user: {} });
    expect(result).toMatchObject({
      code: 'NO_SUCH_ATTRIBUTE',
      message: 'The attribute `user.address.city` is absent',
    });
    expect(result).toMatchObject({ position: { line: 1, column: 1, offset: 0, end: 17 } });
    for (const text of [
      'user.age >= 18',
      '!user.beta',
      'user.email != "x"',
      '!(user.email in ["x", "y"])',
      'user.tags.all(t, true)',
    ]) {
      for (const user of [
        undefined,
        null,
        {},
        [],
        'text',
        7,
        { age: null, beta: null, email: null, tags: null },
      ]) {
        expect(code(evaluate(text, { user }))).toBe('NO_SUCH_ATTRIBUTE');
      }
    }
  });

  it('refuses values of another type than declared', () => {
    const user = { age: 1.5, beta: 'true', email: 5, tags: { length: 3 }, score: '1', levels: [1, 'x'] };
    for (const text of [
      'user.age >= 1',
      'user.beta',
      'user.email == "5"',
      'user.tags.exists(t, true)',
      'user.score > 0.0',
      'user.levels == [1]',
    ]) {
      expect(code(evaluate(text, { user }))).toBe('ATTRIBUTE_TYPE');
    }
    expect(code(evaluate('user.age in [1, 2]', { user: { age: 2 ** 60 } }))).toBe('ATTRIBUTE_TYPE');
  });

  it('answers a value or an error where a host throws', () => {
    const throwing: CelEnvironment<Frame> = {
      variables: new Map([
        [
          'user',
          {
            type: DYN,
            read: (): unknown => {
              throw new Error('down');
            },
          },
        ],
      ]),
      functions: new Map(),
    };
    expect(code(evaluate('user.a', {}, throwing))).toBe('HOST_FAILED');
  });
});

describe('what declared parts mean', () => {
  const user = {
    email: 'a@acme.example',
    country: 'DE',
    age: 30,
    score: 1.5,
    tags: ['a', 'b'],
    levels: [1, 2],
  };

  it.each<[string, CelValue]>([
    ['user.age', 30n],
    ['user.score', 1.5],
    ['user.levels', [1n, 2n]],
    ['user.levels[0] + 1', 2n],
    ['user.age + 1 == 31', true],
    ['user.age == 30.0 && user.age in [30.0, 31.0] && user.score < 2', true],
    ['user["country"] == "DE"', true],
    ['user.tags.map(t, t.upperAscii())', ['A', 'B']],
    ['user.tags.map(t, t == "a", t + "!")', ['a!']],
    ['user.levels.filter(n, n > 1)', [2n]],
    ['user.tags.exists_one(t, t == "a") && user.levels.all(n, n > 0)', true],
    ['has(user.beta) || user.country == "DE"', true],
    ['user.beta || true', true],
    ['user.beta && false', false],
    ['now > timestamp("2027-01-01T00:00:00Z")', true],
    ['now.getFullYear("Europe/Berlin")', 2027n],
    ['size(user.email) > 5 && user.email.endsWith("@acme.example")', true],
    ['user.country in ["DE", "AT", "CH"]', true],
    ['"b" in user.tags', true],
    ['plan.tier == "pro"', true],
    ['entitlement("ai-tokens") == true', true],
  ])('%s', (text, wanted) => {
    expect(evaluate(text, { user, plan: { tier: 'pro' }, entitled: 'ai-tokens' })).toEqual(wanted);
  });

  it('keeps the code of an error that a host function answers', () => {
    expect(evaluate('entitlement("ai-tokens") == true')).toMatchObject({
      detail: 'CUSTOMER_STATE_UNAVAILABLE',
    });
    expect(evaluate('entitlement("ai-tokens") == true || true')).toBe(true);
  });
});

describe('what an expression reads', () => {
  it('records paths, calls with their literal argument, and the clock', () => {
    const { reads } = compile(
      'user.address.city == "x" && user["email"] in ["a"] && plan.`a-b` == 1 && entitlement("ai-tokens") == true && now > now && user.tags.exists(t, t == user.country) && has(user.beta)',
    );
    expect(reads).toEqual({
      attributes: ['plan.`a-b`', 'user.address.city', 'user.beta', 'user.country', 'user.email', 'user.tags'],
      calls: [{ function: 'entitlement', argument: 'ai-tokens' }],
      now: true,
    });
  });

  it('records a variable that is used whole or by a computed key', () => {
    expect(compile('user == user').reads.attributes).toEqual(['user']);
    expect(compile('plan[user.country] == 1').reads.attributes).toEqual(['plan', 'user.country']);
    expect(compile('1 < 2').reads).toEqual({ attributes: [], calls: [], now: false });
  });
});
