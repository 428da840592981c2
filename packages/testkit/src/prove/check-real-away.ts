import { AWAY_FEATURES, AWAY_OVERAGE } from './real-catalog.js';
import type { RealAnswer } from './real-client.js';
import type { Acknowledged } from './real-heard.js';
import type { Row } from './real-tables.js';

/*
 * What was answered while the store was away, and counted afterwards. INVARIANT: of each call that was told to have its amount, that amount
 * is counted, once, whichever processes answered it, and whoever of them was killed.
 */

/** Of the key under which the rest of an answer counts that the store knows otherwise. */
export function isRest(key: string): boolean {
  return key.startsWith('fallback:');
}

/** Each call notes its own key with its usage, so that all that was counted of it is found. */
export function attributesOf(key: string): Readonly<Record<string, string>> {
  return { call: key };
}

export function checkAway(rows: readonly Row[], acknowledged: readonly Acknowledged[]): readonly string[] {
  const counted = new Map<string, Row[]>();
  for (const row of rows.filter(({ feature }) => AWAY_FEATURES.has(feature))) {
    const { call = '' } = JSON.parse(row.attributes ?? '{}') as { readonly call?: string };
    counted.set(call, [...(counted.get(call) ?? []), row]);
  }
  return [
    ...acknowledged
      .filter(({ call }) => AWAY_FEATURES.has(call.body.key))
      .flatMap((one) => checkOne(one, counted.get(one.call.idempotencyKey) ?? [])),
    ...rows.flatMap(checkSoft),
  ];
}

function checkOne({ call, answer, other }: Acknowledged, rows: readonly Row[]): readonly string[] {
  const { idempotencyKey: key, body } = call;
  const answers = [answer, other].flatMap((one) => one ?? []);
  const sum = rows.reduce((total, { consumed }) => total + consumed, 0);
  const told = answers.some(({ allowed }) => allowed);
  const violations: string[] = [];
  if (told && sum !== body.amount) {
    violations.push(`\`${key}\` was told to have ${body.amount}, and ${sum} count: ${say(rows)}.`);
  }
  // Whoever was denied may have been allowed by a process that was not heard.
  if (!told && sum !== 0 && sum !== body.amount) {
    violations.push(`\`${key}\` was denied, and ${sum} count: ${say(rows)}.`);
  }
  if (answers.some((one) => one.isFallback && !isWhole(one, body.amount))) {
    violations.push(`\`${key}\` was denied, or allowed in part, without the store.`);
  }
  return violations;
}

function isWhole({ allowed, taken }: RealAnswer, amount: number): boolean {
  return allowed && taken === amount;
}

function say(rows: readonly Row[]): string {
  return rows.map(({ key, reason, consumed }) => `${key} ${reason} ${consumed}`).join(', ');
}

/** What the store itself decided keeps to the limit and its overage. */
function checkSoft({ feature, key, reason, allowed, requested, usedAfter, limit }: Row): readonly string[] {
  if (feature !== 'away' || reason === 'FALLBACK' || limit === null) return [];
  const top = limit + AWAY_OVERAGE;
  if (allowed && usedAfter > top) return [`\`${key}\` overshoots: ${usedAfter} of ${top}.`];
  return !allowed && usedAfter + requested <= top
    ? [`\`${key}\` was denied ${requested} at ${usedAfter} of ${top}.`]
    : [];
}
