import type { AccountState, CustomerState } from '@pennon/engine/model/customer';
import { NO_FACTS, type SubjectFacts } from './customer-facts.js';
import type { CustomerEntry } from './customer-memory.js';
import type { Found } from './gather-customer.js';

/**
 * The state of one customer for one look-up, put together from its pieces. The same pieces give the same object again, so
 * that whatever is derived from a state can be kept by its identity.
 */
export function assembleState(entry: CustomerEntry, found: Found): CustomerState {
  const subjects = ownSubjects(found);
  if (hasAny(found.shared)) subjects.push(found.shared);

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

function hasAny(facts: SubjectFacts): boolean {
  return facts.grants.length > 0 || facts.memberships.length > 0;
}

/** The named instance, users and team that have grants or memberships of their own. */
function ownSubjects(found: Found): SubjectFacts[] {
  const named = [found.instance, ...found.users.values(), found.team];
  return named.filter((facts): facts is SubjectFacts => facts !== null && hasAny(facts));
}

/** A user, instance or team that belongs to no customer may have been given something all the same. */
export function assembleNobody(productId: string, found: Found): CustomerState | null {
  const subjects = ownSubjects(found);
  if (subjects.length === 0) return null;
  const facts = { key: '', record: null, licenses: [], groups: [], ...NO_FACTS };
  const entry: CustomerEntry = { productId, facts, balances: new Map(), assembled: null };
  return toState(entry, hasAny(found.shared) ? [...subjects, found.shared] : subjects, []);
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
