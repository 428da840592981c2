import type { TestServer } from '@pennon/testkit/test-server';

/* A catalog whose usage tells notices, and a short way to read them. */

const governed = 'category: limit, owner: team@example.com, purpose: A test, removal: permanent';

export const NOTICES_CATALOG = `
product: { key: test, name: Test, defaultPlan: free }
features:
  - { key: calls, type: metered, reset: { every: month, anchor: calendar }, warnAt: [90, 50], ${governed} }
  - { key: hourly, type: metered, reset: { every: hour, anchor: calendar }, warnAt: [30], ${governed} }
  - { key: soft, type: metered, reset: { every: month }, enforcement: soft, overage: { amount: 5 }, ${governed} }
  - { key: observed, type: metered, reset: { every: month }, enforcement: observe, warnAt: [200], ${governed} }
  - { key: seats, type: metered, reset: never, ${governed} }
  - { key: mine, type: metered, per: user, reset: { every: hour, anchor: calendar }, ${governed} }
plans:
  - key: free
    entitlements:
      - { feature: calls, value: 10 }
      - { feature: hourly, value: 10 }
      - { feature: soft, value: 10 }
      - { feature: observed, value: 2 }
      - { feature: seats, value: 3 }
      - { feature: mine, value: 2 }
`;

export interface Notice {
  readonly id: string;
  readonly type: string;
  readonly feature: string;
  readonly customer: string;
  readonly level: number | null;
  readonly used: number;
  readonly [member: string]: unknown;
}

/** All that was told of a customer, the earliest first. */
export async function noticesOf(
  server: TestServer,
  customer: string,
  query = '',
): Promise<readonly Notice[]> {
  const path = `/api/v1/environments/${server.environment}/notices?customer=${customer}&limit=100${query}`;
  const answer = await server.request('GET', path, {});
  if (answer.status !== 200) throw new Error(answer.text);
  return [...answer.body.items].reverse();
}

export function inWords({ type, level, used }: Notice): string {
  return `${type.slice('limit.'.length)}${level === null || level === 100 ? '' : ` ${level}`} at ${used}`;
}

export async function told(
  server: TestServer,
  customer: string,
  feature?: string,
): Promise<readonly string[]> {
  const all = await noticesOf(server, customer, feature === undefined ? '' : `&feature=${feature}`);
  return all.map(inWords);
}

/** As if so much time had gone by for an account: its period, and what was told in it. */
export async function goBack(
  server: TestServer,
  customer: string,
  feature: string,
  by: string,
): Promise<void> {
  const { rowCount } = await server.parts.database.pool.query(
    `update account a set period_start = a.period_start - $3::interval, period_end = a.period_end - $3::interval,
       told_at = a.told_at - $3::interval
     from customer c where c.id = a.customer_id and c.key = $1 and a.feature = $2`,
    [customer, feature, by],
  );
  if (rowCount === 0) throw new Error(`${customer} has no account of ${feature}.`);
}
