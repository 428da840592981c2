import type { AccountState, CustomerState } from '@pennon/engine/model/customer';
import type { SubjectFacts } from './customer-facts.js';
import type { CustomerEntry } from './customer-memory.js';
import type { Found } from './gather-customer.js';

/**
 * The state of one customer for one look-up, put together from its pieces. The same pieces give the same object again, so
 * that whatever is derived from a state can be kept by its identity.
 */
export function assembleState(entry: CustomerEntry, found: Found): CustomerState {
  const subjects: SubjectFacts[] = [];
  const addSubject = (facts: SubjectFacts): void => {
    if (facts.grants.length > 0 || facts.memberships.length > 0) subjects.push(facts);
  };
  if (found.instance !== null) addSubject(found.instance);
  for (const user of found.users.values()) addSubject(user);
  addSubject(found.team);
  addSubject(found.shared);

  const accounts: (readonly AccountState[])[] = [];
  const addAccounts = (scope: string): void => {
    const known = entry.balances.get(scope)?.accounts;
    if (known !== undefined && known.length > 0) accounts.push(known);
  };
  addAccounts('');
  for (const scope of new Set(found.scopes)) addAccounts(scope);

  const pieces: readonly object[] = [...subjects, ...accounts];
  if (entry.assembled !== null && same(entry.assembled.pieces, pieces)) return entry.assembled.state;
  const state = toState(entry, subjects, accounts);
  entry.assembled = { pieces, state };
  return state;
}

function same(left: readonly object[], right: readonly object[]): boolean {
  return left.length === right.length && left.every((piece, index) => piece === right[index]);
}

function toState(
  entry: CustomerEntry,
  subjects: readonly SubjectFacts[],
  accounts: readonly (readonly AccountState[])[],
): CustomerState {
  const { key, record, licenses, groups, memberships, grants } = entry.facts;
  return {
    id: record?.id ?? null,
    key,
    version: record?.version ?? 0,
    createdAt: record?.createdAt ?? null,
    timeZone: record?.timeZone ?? null,
    attributes: record?.attributes ?? {},
    licenses,
    groups,
    memberships: [memberships, ...subjects.map((facts) => facts.memberships)].flat(),
    grants: [grants, ...subjects.map((facts) => facts.grants)].flat(),
    accounts: accounts.flat(),
  };
}
