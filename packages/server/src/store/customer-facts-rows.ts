import type {
  AccountState,
  EarlierPlan,
  Grant,
  GrantEffect,
  GrantKind,
  GroupMembership,
  License,
  LicenseAddon,
  LicenseKind,
  LicenseStatus,
  MemberKind,
  NextPlan,
  SegmentMembership,
  TargetKind,
} from '@pennon/engine/model/customer';
import type { JsonObject } from '@pennon/engine/model/json';
import type {
  CustomerFacts,
  Facts,
  FactsQuestion,
  HeldFacts,
  InstanceFacts,
  ScopeBalances,
  SubjectFacts,
  UserFacts,
} from '../service/customer-facts.js';
import { toLots } from './lot-statements.js';
import { toHolds } from './reservation-statements.js';

/* What the statement of customer facts answers, and the facts of each of its questions taken out of it. */

export type GrantRow = readonly [TargetKind, string, string, GrantKind, GrantEffect, number, number | null];
type LicenseRow = readonly [
  string,
  string,
  string,
  number,
  number,
  LicenseKind,
  LicenseStatus,
  number,
  number | null,
  number | null,
  string,
  string | null,
  string | null,
  readonly LicenseAddon[],
  readonly EarlierPlan[],
  readonly [string, number, number, string] | null,
  number | null,
];

export interface FactsRow {
  readonly product: string | null;
  /** Of subjects, and of shared grants. */
  readonly versions: readonly [number, number] | null;
  readonly customers:
    | readonly (readonly [string, string, number, number, string | null, JsonObject, boolean])[]
    | null;
  /** By reference: key, id, metadata, and the customer's key. */
  readonly instances: readonly (readonly [string, string, string, JsonObject, string])[] | null;
  readonly owners: readonly (readonly [string, string])[] | null;
  readonly licenses: readonly LicenseRow[] | null;
  readonly memberships:
    | readonly (readonly [MemberKind, string, 'group' | 'segment', string, number, number | null])[]
    | null;
  readonly grants: readonly GrantRow[] | null;
  readonly shared: readonly GrantRow[] | null;
  /** The number of a question, and the key of a customer whose balances it asks for; more than once where it is named so. */
  readonly balanced: readonly (readonly [number, string])[] | null;
  readonly accounts:
    | readonly (readonly [
        string,
        string,
        string,
        number | null,
        number,
        number,
        unknown,
        number | null,
        number,
        unknown,
      ])[]
    | null;
}

/** The rows of all questions by what they belong to. Numbers of questions are their places. */
interface Pieces {
  readonly product: string;
  readonly subjectVersion: number;
  readonly customers: Map<string, CustomerFacts>;
  readonly instances: Map<string, InstanceFacts>;
  readonly owners: Map<string, string[]>;
  readonly balanced: Map<number, Set<string>>;
  /** By customer and scope, as JSON. */
  readonly accounts: Map<string, AccountState[]>;
  readonly grants: Map<string, Grant[]>;
  readonly memberships: Map<string, SegmentMembership[]>;
  readonly groups: Map<string, GroupMembership[]>;
  readonly licenses: Map<string, License[]>;
}

function push<Key, Item>(lists: Map<Key, Item[]>, key: Key, item: Item): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [item]);
  else list.push(item);
}

export function toGrant(product: string, row: GrantRow): Grant {
  const [kind, key, id, grantKind, effect, startsAt, endsAt] = row;
  return { id, product, target: { kind, key }, kind: grantKind, effect, startsAt, endsAt };
}

function toLicense(product: string, row: LicenseRow): License {
  const [, id, plan, planVersion, quantity, kind, status, startsAt, endsAt, graceEndsAt, ...rest] = row;
  const [anchor, timeZone, sku, addons, earlier, next, anchorSince] = rest;
  return {
    id,
    product,
    plan,
    planVersion,
    quantity,
    kind,
    status,
    startsAt,
    endsAt,
    graceEndsAt,
    anchor,
    timeZone,
    sku,
    addons,
    ...(earlier.length === 0 ? {} : { earlier }),
    ...(next === null ? {} : { next: toNextPlan(next) }),
    ...(anchorSince === null ? {} : { anchorSince }),
  };
}

function toNextPlan([plan, planVersion, at, anchor]: readonly [string, number, number, string]): NextPlan {
  return { plan, planVersion, at, anchor, sku: null };
}

function toPieces(row: FactsRow): Pieces {
  const product = row.product ?? '';
  const pieces: Pieces = {
    product,
    subjectVersion: row.versions?.[0] ?? 0,
    customers: new Map(),
    instances: new Map(),
    owners: new Map(),
    balanced: new Map(),
    accounts: new Map(),
    grants: new Map(),
    memberships: new Map(),
    groups: new Map(),
    licenses: new Map(),
  };
  for (const grant of row.grants ?? []) {
    push(pieces.grants, `${grant[0]}/${grant[1]}`, toGrant(product, grant));
  }
  for (const [kind, key, containerKind, container, startsAt, endsAt] of row.memberships ?? []) {
    const subject = `${kind}/${key}`;
    if (containerKind === 'segment') {
      push(pieces.memberships, subject, { segment: container, member: { kind, key }, startsAt, endsAt });
    } else if (kind === 'customer') {
      push(pieces.groups, key, { group: container, startsAt, endsAt });
    }
  }
  for (const license of row.licenses ?? []) push(pieces.licenses, license[0], toLicense(product, license));
  for (const [userKey, customerKey] of row.owners ?? []) push(pieces.owners, userKey, customerKey);
  for (const [question, key] of row.balanced ?? []) {
    const keys = pieces.balanced.get(question) ?? new Set();
    pieces.balanced.set(question, keys.add(key));
  }
  addCustomers(pieces, row);
  addInstances(pieces, row);
  addAccounts(pieces, row);
  return pieces;
}

function addCustomers(pieces: Pieces, row: FactsRow): void {
  for (const [key, id, version, createdAt, timeZone, attributes, archived] of row.customers ?? []) {
    const record = { id, version, createdAt, timeZone, attributes };
    // An archived customer keeps all that it had, and none of it is in force until it is taken back.
    pieces.customers.set(
      key,
      archived
        ? { key, record, licenses: [], groups: [], memberships: [], grants: [] }
        : {
            key,
            record,
            licenses: pieces.licenses.get(key) ?? [],
            groups: pieces.groups.get(key) ?? [],
            ...heldFacts(pieces, 'customer', key),
          },
    );
  }
}

function addInstances(pieces: Pieces, row: FactsRow): void {
  for (const [ref, key, id, metadata, customerKey] of row.instances ?? []) {
    const record = { id, key, customerKey, metadata };
    pieces.instances.set(ref, { key, record, ...subjectFacts(pieces, 'instance', key) });
  }
}

function addAccounts(pieces: Pieces, row: FactsRow): void {
  for (const [customer, scope, feature, periodStart, used, reserved, held, ...credits] of row.accounts ??
    []) {
    const [periodEnd, covered, lots] = credits;
    push(pieces.accounts, JSON.stringify([customer, scope]), {
      feature,
      scope,
      periodStart,
      used,
      reserved,
      holds: toHolds(held),
      periodEnd,
      covered,
      lots: toLots(lots),
    });
  }
}

function heldFacts(pieces: Pieces, kind: string, key: string): HeldFacts {
  const subject = `${kind}/${key}`;
  return { memberships: pieces.memberships.get(subject) ?? [], grants: pieces.grants.get(subject) ?? [] };
}

function subjectFacts(pieces: Pieces, kind: string, key: string): SubjectFacts {
  return { ...heldFacts(pieces, kind, key), version: pieces.subjectVersion };
}

/** The facts of each question, in their order: exactly those that it would have got if it had been asked alone. */
export function toFacts(questions: readonly FactsQuestion[], row: FactsRow): readonly Facts[] {
  const pieces = toPieces(row);
  const shared: SubjectFacts = {
    memberships: [],
    grants: (row.shared ?? []).map((grant) => toGrant(pieces.product, grant)),
    version: row.versions?.[1] ?? 0,
  };
  return questions.map((question, number) => {
    const instance = instanceOf(question, pieces);
    const users = usersOf(question, pieces);
    return {
      customers: customersOf(question, pieces, instance, users),
      instance,
      users,
      teams: new Map(question.teamKeys.map((key) => [key, subjectFacts(pieces, 'team', key)])),
      shared: question.shared ? shared : null,
      balances: balancesOf(question, pieces, instance, [...(pieces.balanced.get(number) ?? [])]),
    };
  });
}

function instanceOf({ instanceRef: key }: FactsQuestion, pieces: Pieces): InstanceFacts | null {
  if (key === null) return null;
  return pieces.instances.get(key) ?? { key, record: null, ...subjectFacts(pieces, 'instance', key) };
}

function usersOf(question: FactsQuestion, pieces: Pieces): Map<string, UserFacts> {
  return new Map(
    question.userKeys.map((key) => [
      key,
      { customerKeys: pieces.owners.get(key) ?? [], ...subjectFacts(pieces, 'user', key) },
    ]),
  );
}

/** Those that are asked for, whether or not they are registered; with whom the instance belongs to, and the only one of a user. */
function customersOf(
  question: FactsQuestion,
  pieces: Pieces,
  instance: InstanceFacts | null,
  users: ReadonlyMap<string, UserFacts>,
): Map<string, CustomerFacts> {
  const customers = new Map<string, CustomerFacts>();
  for (const key of question.customerKeys) {
    const groups = pieces.groups.get(key) ?? [];
    const nobody = { key, record: null, licenses: [], groups, ...heldFacts(pieces, 'customer', key) };
    customers.set(key, pieces.customers.get(key) ?? nobody);
  }
  const found = instance?.record == null ? [] : [instance.record.customerKey];
  for (const { customerKeys } of users.values()) if (customerKeys.length === 1) found.push(...customerKeys);
  for (const key of found) {
    const customer = pieces.customers.get(key);
    if (customer !== undefined) customers.set(key, customer);
  }
  return customers;
}

function balancesOf(
  question: FactsQuestion,
  pieces: Pieces,
  instance: InstanceFacts | null,
  customerKeys: readonly string[],
): ScopeBalances[] {
  const scopes = new Set(['', ...question.scopes]);
  if (instance?.record != null) scopes.add(instance.key);
  return customerKeys.flatMap((customerKey) =>
    [...scopes].map((scope) => ({
      customerKey,
      scope,
      accounts: pieces.accounts.get(JSON.stringify([customerKey, scope])) ?? [],
    })),
  );
}
