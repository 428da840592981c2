import { randomUUID } from 'node:crypto';

/**
 * The few lines of OEP that the application needs: plain HTTP. "No" comes back as an answer with status 200; only a fault
 * throws. A 503 means that the outcome is unknown: the same key asks again, and the amount is never taken twice.
 */
export function limitsOf({ pennonUrl, serverKey }) {
  async function call(path, body, idempotencyKey) {
    const headers = { authorization: `Bearer ${serverKey}`, 'content-type': 'application/json' };
    if (idempotencyKey !== undefined) headers['idempotency-key'] = idempotencyKey;
    for (let attempt = 1; ; attempt += 1) {
      const response = await fetch(`${pennonUrl}/oep/v1/${path}`, {
        method: 'POST',
        headers,
        body: JSON.stringify(body),
      });
      const answer = await response.json();
      if (response.ok) return answer;
      if (response.status !== 503 || attempt === 5) {
        throw Object.assign(new Error(answer.errorDetails ?? `OEP answered ${response.status}`), {
          statusCode: 503,
        });
      }
      await new Promise((resolve) => setTimeout(resolve, 100 * 2 ** attempt));
    }
  }

  return {
    read: (customer, key) => call(`evaluate/entitlements/${key}`, { context: { targetingKey: customer } }),
    consume: (customer, key, { amount, attributes, idempotencyKey = randomUUID() } = {}) =>
      call('consume', { context: { targetingKey: customer }, key, amount, attributes }, idempotencyKey),
    release: (customer, key, amount, idempotencyKey = randomUUID()) =>
      call('release', { context: { targetingKey: customer }, key, amount }, idempotencyKey),
  };
}

/** `3000/3000`: what a person wants to read beside a refusal. */
export function meter(entitlement) {
  const limit =
    entitlement.limit === null ? 0 : entitlement.limit.kind === 'unlimited' ? '∞' : entitlement.limit.value;
  return `${entitlement.usage}/${limit}`;
}
