import Stripe from 'stripe';
import { describe, expect, it } from 'vitest';
import { checkPaddleSignature } from './check-paddle-signature.js';
import { checkStandardSignature, standardHeadersOf } from './check-standard-signature.js';
import { checkStripeSignature } from './check-stripe-signature.js';
import type { SignatureCheck, SignedBody } from './signature-check.js';

/* K-12 Golden vectors: computed outside of this code, with Node's own crypto. */
const TEXT = '{"id":"evt_test_1","object":"event","type":"customer.subscription.updated"}';
const AT = 1_700_000_000;
const STRIPE = 'whsec_test_secret';
const STRIPE_V1 = '6d1695090a29031f4a635fba8776b80e9058dddec671fd5bdf1d7c278222cf63';
const PADDLE_H1 = '262466045a9f7fa247a4657c356bf0352794d00c30ee99c061d9c23046c4b303';
const POLAR = 'cG9sYXItc2VjcmV0';
const POLAR_V1 = 'v1,7yYXbYYoHqs+aKWbQcSY5nqvoJEl079WXSYdKVUEkh0=';

const signed = (secrets: readonly string[], more: Partial<SignedBody> = {}): SignedBody => ({
  body: Buffer.from(TEXT),
  secrets,
  now: AT * 1000,
  ...more,
});
const fault = (check: SignatureCheck) => (check.ok ? 'ok' : check.fault);

interface Scheme {
  readonly name: string;
  readonly secret: string;
  /** Checks a body with the signature parts given, the golden ones where none are. */
  check(
    parts: { time?: string | null; signatures?: readonly string[] },
    body: SignedBody,
  ): Promise<SignatureCheck>;
  readonly golden: string;
  readonly older: readonly string[];
}

const SCHEMES: readonly Scheme[] = [
  {
    name: 'Stripe',
    secret: STRIPE,
    golden: `v1=${STRIPE_V1}`,
    older: [`v0=${STRIPE_V1}`],
    check: ({ time = String(AT), signatures = [`v1=${STRIPE_V1}`] }, body) =>
      checkStripeSignature([...(time === null ? [] : [`t=${time}`]), ...signatures].join(','), body),
  },
  {
    name: 'Paddle',
    secret: 'pdl_secret',
    golden: `h1=${PADDLE_H1}`,
    older: [`h0=${PADDLE_H1}`],
    check: async ({ time = String(AT), signatures = [`h1=${PADDLE_H1}`] }, body) =>
      checkPaddleSignature([...(time === null ? [] : [`ts=${time}`]), ...signatures].join(';'), body),
  },
  {
    name: 'Standard Webhooks',
    secret: POLAR,
    golden: POLAR_V1,
    older: [POLAR_V1.replace('v1', 'v1a')],
    check: async ({ time = String(AT), signatures = [POLAR_V1] }, body) =>
      checkStandardSignature(
        {
          id: 'msg_1',
          timestamp: time ?? undefined,
          signature: signatures.length === 0 ? undefined : signatures.join(' '),
        },
        body,
      ),
  },
];

describe.each(SCHEMES)('K-12 signatures of $name', ({ secret, check, golden, older }) => {
  const last = golden.at(-6) ?? '';
  const wrong = `${golden.slice(0, -6)}${last === '1' ? '2' : '1'}${golden.slice(-5)}`;

  it('the golden vector, and the same with any of several secrets or signatures', async () => {
    expect(await check({}, signed([secret]))).toEqual({ ok: true, signedAt: AT * 1000 });
    expect(fault(await check({}, signed(['b3RoZXI=', secret])))).toBe('ok');
    expect(fault(await check({ signatures: [wrong, golden] }, signed([secret])))).toBe('ok');
    expect(fault(await check({ signatures: [...older, golden] }, signed([secret])))).toBe('ok');
  });

  it('refuses another secret, none at all, another signature and an older scheme alone', async () => {
    expect(fault(await check({}, signed(['b3RoZXI='])))).toBe('NO_MATCH');
    expect(fault(await check({}, signed([])))).toBe('NO_MATCH');
    expect(fault(await check({ signatures: [wrong] }, signed([secret])))).toBe('NO_MATCH');
    expect(fault(await check({ signatures: older }, signed([secret])))).toBe('MALFORMED');
  });

  it('refuses a body that is not the one that was signed, to the octet', async () => {
    const bodies = [
      TEXT.replace('evt_test_1', 'evt_test_2'),
      `${TEXT}\n`,
      JSON.stringify(JSON.parse(TEXT), null, 1),
      '',
      `\uFEFF${TEXT}`,
      TEXT.repeat(30_000),
    ];
    for (const body of bodies) {
      expect(fault(await check({}, signed([secret], { body: Buffer.from(body) })))).toBe('NO_MATCH');
    }
    const notText = Buffer.concat([Buffer.from(TEXT), Buffer.from([0xff, 0xfe])]);
    expect(fault(await check({}, signed([secret], { body: notText })))).not.toBe('ok');
  });

  it('refuses what was signed long ago, and what is signed for the future', async () => {
    const at = async (seconds: number) =>
      fault(await check({}, signed([secret], { now: (AT + seconds) * 1000 })));
    expect([await at(300), await at(-300)]).toEqual(['ok', 'ok']);
    expect([await at(301), await at(-301)]).toEqual(['TOO_OLD', 'IN_THE_FUTURE']);
    expect(await at(40 * 86_400)).toBe('TOO_OLD');
  });

  it('refuses what is missing or malformed', async () => {
    expect(fault(await check({ time: null }, signed([secret])))).toMatch(/^(?:MISSING|MALFORMED)$/);
    expect(fault(await check({ signatures: [] }, signed([secret])))).toMatch(/^(?:MISSING|MALFORMED)$/);
    for (const time of ['', 'x', '-1', '1e9', ` ${AT}`, `${AT}.0`, '9'.repeat(30)]) {
      expect(fault(await check({ time }, signed([secret]))), time).toMatch(/^(?:MISSING|MALFORMED)$/);
    }
    for (const signature of ['', 'v1', 'v1=', 'h1=', 'v1,', 'h1=zz', 'v1=zz', 'v1,é', ',,,', '=']) {
      expect(fault(await check({ signatures: [signature] }, signed([secret]))), signature).not.toBe('ok');
    }
  });
});

describe('K-12 signatures', () => {
  it('Stripe’s own test header passes, and two times in one header do not', async () => {
    const header = Stripe.webhooks.generateTestHeaderString({ payload: TEXT, secret: STRIPE, timestamp: AT });
    expect(fault(await checkStripeSignature(header, signed([STRIPE])))).toBe('ok');
    expect(fault(await checkStripeSignature(`t=1,${header}`, signed([STRIPE])))).toBe('MALFORMED');
    expect(fault(await checkStripeSignature(undefined, signed([STRIPE])))).toBe('MISSING');
    const many = [`t=${AT}`, ...Array.from({ length: 1000 }, () => `v1=${STRIPE_V1}`)].join(',');
    expect(fault(await checkStripeSignature(many, signed([STRIPE])))).toBe('MALFORMED');
  });

  it('Standard Webhooks are read under both names, with and without the prefix of the secret', () => {
    const names = (prefix: string) => ({
      [`${prefix}-id`]: 'msg_1',
      [`${prefix}-timestamp`]: String(AT),
      [`${prefix}-signature`]: POLAR_V1,
    });
    for (const headers of [names('webhook'), names('svix')]) {
      for (const secret of [POLAR, `whsec_${POLAR}`]) {
        expect(fault(checkStandardSignature(standardHeadersOf(headers), signed([secret])))).toBe('ok');
      }
    }
    expect(standardHeadersOf({ 'webhook-id': ['a', 'b'] }).id).toBeUndefined();
  });

  it('Standard Webhooks: another id, or a point in it, is refused', () => {
    const check = (id: string) =>
      fault(checkStandardSignature({ id, timestamp: String(AT), signature: POLAR_V1 }, signed([POLAR])));
    expect([check('msg_2'), check('msg_1.1')]).toEqual(['NO_MATCH', 'MALFORMED']);
  });
});
