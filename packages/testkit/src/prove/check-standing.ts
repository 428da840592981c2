import { accountName, rolloverName, type SequentialModel } from './sequential-model.js';
import type { SimulatedLot } from './simulated-credits.js';
import type { History } from './simulated-history.js';
import { CUSTOMERS, customerId, FEATURES } from './simulated-installation.js';

/* What stands in the store of a simulated history in the end: balances, closed periods, holds, holders and lots. */

export function checkStanding(history: History, model: SequentialModel): readonly string[] {
  takeInLots(history, model, history.store.commits.length);
  return [...checkBalances(history, model), ...checkLots(history, model), ...checkHolders(history, model)];
}

/**
 * Lots that management made, and voids of any, that were committed before the batch of that number; all of that is under the locks of
 * customer and account. What is rolled over is made by batches themselves, and by the model for itself.
 */
export function takeInLots({ store }: History, model: SequentialModel, index: number): void {
  for (const [id, one] of store.lots) {
    const account = accountOf(one);
    if (one.lot.kind !== 'rollover' && one.after <= index && account !== null && !model.lots.has(id)) {
      const { amount, startsAt, endsAt, kind, createdAt } = one.lot;
      model.lots.set(id, { account, amount, left: amount, startsAt, endsAt, kind, createdAt, voided: false });
    }
    const known = model.lots.get(nameOf(one));
    if (known !== undefined && one.voidedAfter !== null && one.voidedAfter <= index) known.voided = true;
  }
}

function accountOf({ customerId: whose, account }: SimulatedLot): string | null {
  const feature = FEATURES.find(({ key }) => key === account.feature);
  const customer = CUSTOMERS.find((key) => customerId(key) === whose) ?? '';
  return feature === undefined ? null : accountName(feature, { customer, user: account.scope });
}

function nameOf(one: SimulatedLot): string {
  const { id, kind, startsAt } = one.lot;
  return kind === 'rollover' ? rolloverName(accountOf(one) ?? '', startsAt) : id;
}

function checkBalances(history: History, model: SequentialModel): readonly string[] {
  const violations: string[] = [];
  for (const [id, { state }] of history.store.reservations) {
    const expected = model.holds.get(id)?.state;
    if (state !== expected) violations.push(`A reservation is ${state}, not ${expected}.`);
  }
  const names = new Map(CUSTOMERS.map((key) => [customerId(key), key]));
  for (const [row, account] of history.store.accounts) {
    const customer = names.get(row.slice(0, row.indexOf('|'))) ?? '';
    const feature = FEATURES.find(({ key }) => key === account.feature);
    if (feature === undefined) continue;
    const name = accountName(feature, { customer, user: account.scope });
    const expected = model.balances.get(name)?.used ?? 0;
    if (account.used !== expected) violations.push(`${name} used ${account.used}, not ${expected}.`);
    const covered = model.balances.get(name)?.covered ?? 0;
    if (account.covered !== covered) {
      violations.push(`${name} took ${account.covered} out of lots, not ${covered}.`);
    }
    const held = model.reserved(name);
    if (account.reserved !== held) violations.push(`${name} holds ${account.reserved}, not ${held}.`);
  }
  for (const period of history.store.periods.values()) {
    const matching = [...model.closed].filter(([name]) =>
      name.endsWith(
        `|${period.feature}|${period.scope}|${Math.floor((period.periodStart ?? 0) / 3_600_000)}`,
      ),
    );
    if (!matching.some(([, used]) => used === period.used)) {
      violations.push(`A closed period of ${period.feature} holds ${period.used}.`);
    }
  }
  if (history.store.periods.size !== model.closed.size) {
    violations.push(`${history.store.periods.size} periods were closed, not ${model.closed.size}.`);
  }
  return violations;
}

/** INVARIANT: there is every lot once, those that were rolled over too, and it has left what the model's has. */
function checkLots({ store }: History, model: SequentialModel): readonly string[] {
  const violations: string[] = [];
  const seen = new Set<string>();
  for (const one of store.lots.values()) {
    const name = nameOf(one);
    const { amount, remaining, endsAt, kind } = one.lot;
    const expected = model.lots.get(name);
    if (seen.has(name)) violations.push(`A lot (${kind}) stands there twice.`);
    seen.add(name);
    if (expected?.amount !== amount || expected.endsAt !== endsAt) {
      violations.push(`A lot (${kind}) is ${amount} until ${endsAt}, not ${expected?.amount}.`);
    } else if (remaining !== expected.left) {
      violations.push(`A lot (${kind}) has ${remaining} left, not ${expected.left}.`);
    }
  }
  if (seen.size !== model.lots.size) violations.push(`There are ${seen.size} lots, not ${model.lots.size}.`);
  return violations;
}

function checkHolders({ store }: History, model: SequentialModel): readonly string[] {
  const violations: string[] = [];
  const stored = new Map(
    [...store.holders.values()].map(({ customerId: whose, feature, scope, holder, amount }) => {
      const customer = CUSTOMERS.find((key) => customerId(key) === whose) ?? '';
      return [`${customer}|${feature}|${scope}|${holder}`, amount];
    }),
  );
  for (const name of new Set([...stored.keys(), ...model.holders.keys()])) {
    const [found, expected] = [stored.get(name) ?? 0, model.holders.get(name) ?? 0];
    if (found !== expected) violations.push(`${name} holds ${found}, not ${expected}.`);
  }
  return violations;
}
