import { randomUUID } from 'node:crypto';
import type { TestResponse, TestServer } from '@pennon/testkit/test-server';

/* A catalog of everything that can be recorded, and short ways to tell events. */

const governed = 'owner: team@example.com, purpose: A test, removal: permanent, category: limit';

export const USAGE_CATALOG = `
product: { key: test, name: Test, defaultPlan: free }
features:
  - { key: calls, type: metered, reset: { every: month, anchor: calendar }, ${governed} }
  - { key: hourly, type: metered, reset: { every: hour, anchor: calendar }, lateEvents: { days: 1 }, ${governed} }
  - { key: strict, type: metered, reset: { every: hour, anchor: calendar }, lateEvents: { days: 0, after: refuse }, ${governed} }
  - { key: moved, type: metered, reset: { every: hour, anchor: calendar }, lateEvents: { days: 0 }, ${governed} }
  - { key: tokens, type: metered, reset: { every: month }, measure: 'tokens_in + tokens_out', dimensions: [model, region], ${governed} }
  - { key: logins, type: metered, reset: { every: month }, aggregation: count, ${governed} }
  - { key: visitors, type: metered, reset: { every: month }, aggregation: unique, uniqueBy: visitor, enforcement: soft, ${governed} }
  - { key: peak, type: metered, reset: { every: month }, aggregation: max, enforcement: observe, ${governed} }
  - { key: storage, type: metered, reset: never, aggregation: latest, enforcement: soft, ${governed} }
  - { key: per-user, type: metered, per: user, reset: { every: day, anchor: calendar }, ${governed} }
  - { key: seats, type: limit, ${governed} }
plans:
  - key: free
    entitlements:
      - { feature: calls, value: 100 }
      - { feature: hourly, value: 100 }
      - { feature: strict, value: 100 }
      - { feature: moved, value: 100 }
      - { feature: tokens, value: 1000 }
      - { feature: logins, value: 10 }
      - { feature: visitors, value: 10 }
      - { feature: peak, value: 10 }
      - { feature: storage, value: 500 }
      - { feature: per-user, value: 5 }
`;

export interface EventData {
  readonly key: string;
  readonly amount?: unknown;
  readonly attributes?: unknown;
  readonly corrects?: unknown;
  readonly user?: unknown;
  readonly [member: string]: unknown;
}

/** A CloudEvent; `more` overrides its members. */
export function event(subject: string, data: EventData, more: Record<string, unknown> = {}) {
  return { specversion: '1.0', id: randomUUID(), source: '/test', type: 'usage', subject, data, ...more };
}

export const BATCH = 'application/cloudevents-batch+json';

/** Tells events with the server key; a list goes as a batch. */
export function tell(
  server: TestServer,
  events: unknown,
  options: { readonly key?: string | null; readonly type?: string } = {},
): Promise<TestResponse> {
  const type = options.type ?? (Array.isArray(events) ? BATCH : 'application/cloudevents+json');
  return server.request('POST', '/oep/v1/usage', {
    body: events,
    key: options.key === undefined ? server.serverKey : options.key,
    headers: { 'content-type': type },
  });
}

/** Tells until there is an answer, as a client does: a 503 says that nobody knows, and every event counts once. */
export async function told(server: TestServer, events: unknown): Promise<TestResponse> {
  for (let attempt = 0; ; attempt += 1) {
    const answer = await tell(server, events);
    if (answer.status === 202 && answer.body.refused === 0) return answer;
    if (answer.status !== 503 || attempt >= 5) throw new Error(`${answer.status} ${answer.text}`);
  }
}

/** What the customer's entitlement says, from the store. */
export async function usageOf(server: TestServer, who: string, key: string, more: object = {}) {
  const answer = await server.request('POST', `/oep/v1/evaluate/entitlements/${key}`, {
    body: { context: { targetingKey: who, ...more }, consistency: 'strong' },
    key: server.serverKey,
  });
  if (answer.status !== 200) throw new Error(answer.text);
  const { usage, overage, hasAccess } = answer.body;
  return { usage, overage, hasAccess };
}
