import { checkLots } from './check-lots.js';
import { CREDITS_ALLOWANCE, ROLLED_ALLOWANCE, ROLLED_MOST } from './real-catalog.js';
import type { Heard } from './real-heard.js';
import type { RealTables, Row } from './real-tables.js';

/* Of a customer of a real history: what is taken out of lots that were made and voided, and out of what the month before left. */

const BEFORE = '-before';

/** The call that belongs to the month before. */
export function keyOfMonthBefore(customer: string): string {
  return `${customer}${BEFORE}`;
}

export function isOfMonthBefore({ key }: Pick<Row, 'key'>): boolean {
  return key.endsWith(BEFORE);
}

export function checkCredits(
  tables: RealTables,
  { acknowledged, lots = [], usedBefore }: Heard,
): readonly string[] {
  const { rows, events, accounts } = tables;
  const questionOf = (name: string) => ({
    decisions: rows.filter((row) => row.feature === name && !isOfMonthBefore(row)),
    events: events.filter(({ feature }) => feature === name),
    stored: tables.lots.filter(({ feature }) => feature === name),
    covered: accounts.get(name)?.covered ?? 0,
  });
  const made = acknowledged.length === 0 ? [] : lots;
  const violations = checkLots({ ...questionOf('credits'), allowance: CREDITS_ALLOWANCE, made });
  return usedBefore === undefined
    ? violations
    : [...violations, ...checkRolled(questionOf('rolled'), usedBefore)];
}

/** INVARIANT: what a month leaves is made once, whoever is the first of the next month, and by as much as it left. */
function checkRolled(
  question: Omit<Parameters<typeof checkLots>[0], 'allowance' | 'made'>,
  usedBefore: number,
): readonly string[] {
  const { stored, decisions } = question;
  if (decisions.length === 0) return [];
  const due = Math.min(ROLLED_MOST, ROLLED_ALLOWANCE - usedBefore);
  const amounts = stored.map(({ kind, amount }) => `${kind} ${amount}`);
  if (amounts.join() !== (due > 0 ? `rollover ${due}` : '')) {
    return [`Of ${usedBefore} used in the month before, there is left: ${amounts.join(', ')}; not ${due}.`];
  }
  const made = stored.map(({ id }) => ({ id, knownAt: 0 }));
  return checkLots({ ...question, allowance: ROLLED_ALLOWANCE, made });
}
