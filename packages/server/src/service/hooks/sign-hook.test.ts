import { createHmac, timingSafeEqual } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hookHeaders, newHookSecret, signHook, toSecretText } from './sign-hook.js';

/** As a listener reads the specification; written apart from what is tested. */
function isSigned(
  headers: Readonly<Record<string, string>>,
  body: Buffer,
  secret: Buffer,
  nowSeconds: number,
): boolean {
  const timestamp = Number(headers['webhook-timestamp']);
  if (!Number.isInteger(timestamp) || Math.abs(nowSeconds - timestamp) > 300) return false;
  const signed = Buffer.concat([Buffer.from(`${headers['webhook-id']}.${timestamp}.`), body]);
  const expected = createHmac('sha256', secret).update(signed).digest();
  return (headers['webhook-signature'] ?? '').split(' ').some((one) => {
    const [version, text = ''] = one.split(',');
    const given = Buffer.from(text, 'base64');
    return version === 'v1' && given.length === expected.length && timingSafeEqual(given, expected);
  });
}

describe('signatures (S-15)', () => {
  it('S-15 agree with the vector of a provider of Standard Webhooks', () => {
    const body = Buffer.from('{"id":"evt_test_1","object":"event","type":"customer.subscription.updated"}');
    expect(
      signHook({ id: 'msg_1', timestampSeconds: 1_700_000_000, body }, Buffer.from('polar-secret')),
    ).toBe('v1,7yYXbYYoHqs+aKWbQcSY5nqvoJEl079WXSYdKVUEkh0=');
  });

  it('S-15 agree with the vector of the libraries of Standard Webhooks', () => {
    const secret = Buffer.from('MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'base64');
    const message = {
      id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
      timestampSeconds: 1_614_265_330,
      body: Buffer.from('{"test": 2432232314}'),
    };
    expect(signHook(message, secret)).toBe('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
  });

  it('S-15 are one for each secret in force, and none for one that was taken out', () => {
    const [old, current, stranger] = [newHookSecret(), newHookSecret(), newHookSecret()];
    const body = Buffer.from('{"ü":1}');
    const message = { id: 'one', timestampSeconds: 1000, body };
    const both = hookHeaders(message, [current, old]);
    expect(both['webhook-signature'].split(' ')).toHaveLength(2);
    expect(isSigned(both, body, old, 1000)).toBe(true);
    expect(isSigned(both, body, current, 1000)).toBe(true);
    expect(isSigned(both, body, stranger, 1000)).toBe(false);
    const after = hookHeaders(message, [current]);
    expect(isSigned(after, body, old, 1000)).toBe(false);
    expect(isSigned(after, body, current, 1000)).toBe(true);
    expect(() => hookHeaders(message, [])).toThrow('without a secret');
  });

  it('S-15 hold for nothing but that id, that time and that body', () => {
    const secret = newHookSecret();
    fc.assert(
      fc.property(
        fc.uuid(),
        fc.uint8Array({ minLength: 1, maxLength: 200 }),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        (id, bytes, place, flip) => {
          const body = Buffer.from(bytes);
          const headers = hookHeaders({ id, timestampSeconds: 5000, body }, [secret]);
          expect(isSigned(headers, body, secret, 5000)).toBe(true);
          const turned = Buffer.from(body);
          turned[place % body.length] = (body[place % body.length] ?? 0) ^ flip;
          expect(isSigned(headers, turned, secret, 5000)).toBe(false);
          expect(isSigned({ ...headers, 'webhook-id': `${id}0` }, body, secret, 5000)).toBe(false);
          expect(isSigned({ ...headers, 'webhook-timestamp': '5001' }, body, secret, 5000)).toBe(false);
          expect(isSigned(headers, body, secret, 5301)).toBe(false);
        },
      ),
    );
  });
});

describe('the text of a secret', () => {
  it('is `whsec_` and its bytes in base64, 32 of its own for each', () => {
    const secret = newHookSecret();
    expect(secret).toHaveLength(32);
    const text = toSecretText(secret);
    expect(text).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    expect(Buffer.from(text.slice('whsec_'.length), 'base64')).toEqual(secret);
    expect(newHookSecret()).not.toEqual(secret);
  });
});
