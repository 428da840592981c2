import type {
  AccountState,
  Grant,
  GroupMembership,
  Instant,
  License,
  SegmentMembership,
} from '@pennon/engine/model/customer';
import type { JsonObject } from '@pennon/engine/model/json';

/*
 * What the store knows, in the pieces in which it is kept in memory and forgotten: one customer of one product, one user,
 * team or instance, the grants of groups and segments, and balances by scope. `CustomerStates` puts the pieces together.
 */

export interface HeldFacts {
  readonly memberships: readonly SegmentMembership[];
  readonly grants: readonly Grant[];
}

/** Of a user, a team or an instance, or (with grants only) of all groups and segments. */
export interface SubjectFacts extends HeldFacts {
  /** The environment's count of such changes (`EnvironmentVersions`) when this was read, in the same statement. */
  readonly version: number;
}

/** Nothing stands in the store for it, and nothing ever can. */
export const NO_FACTS: SubjectFacts = { memberships: [], grants: [], version: Number.POSITIVE_INFINITY };

export interface CustomerRecord {
  readonly id: string;
  readonly version: number;
  readonly createdAt: Instant;
  readonly timeZone: string | null;
  readonly attributes: JsonObject;
}

/** `record: null`: nobody registered that key. Memberships and grants may name it all the same. */
export interface CustomerFacts extends HeldFacts {
  readonly key: string;
  readonly record: CustomerRecord | null;
  readonly licenses: readonly License[];
  readonly groups: readonly GroupMembership[];
}

export interface InstanceRecord {
  readonly id: string;
  readonly key: string;
  readonly customerKey: string;
  readonly metadata: JsonObject;
}

/** `key` is the reference itself where no instance has it as key or id. */
export interface InstanceFacts extends SubjectFacts {
  readonly key: string;
  readonly record: InstanceRecord | null;
}

export interface UserFacts extends SubjectFacts {
  readonly customerKeys: readonly string[];
}

/** What one look-up has to be told. */
export interface FactsQuestion {
  readonly environmentId: string;
  readonly productId: string;
  readonly customerKeys: readonly string[];
  /** An instance's key or id; the customer that it belongs to is answered along. */
  readonly instanceRef: string | null;
  /** Where a user belongs to exactly one customer, that customer is answered along. */
  readonly userKeys: readonly string[];
  readonly teamKeys: readonly string[];
  readonly shared: boolean;
  /** Customers that are in memory (or on their way) and of which only balances are asked. */
  readonly balanceCustomerKeys: readonly string[];
  /** Besides the pooled account of the customer: users and instances. */
  readonly scopes: readonly string[];
}

export interface ScopeBalances {
  readonly customerKey: string;
  readonly scope: string;
  readonly accounts: readonly AccountState[];
}

export interface Facts {
  readonly customers: ReadonlyMap<string, CustomerFacts>;
  readonly instance: InstanceFacts | null;
  readonly users: ReadonlyMap<string, UserFacts>;
  readonly teams: ReadonlyMap<string, SubjectFacts>;
  readonly shared: SubjectFacts | null;
  /** For every customer answered or named for its balances, and every scope asked, also where there is no account. */
  readonly balances: readonly ScopeBalances[];
}

export interface BalanceQuestion {
  readonly customerId: string;
  readonly productId: string;
  readonly scope: string;
}

export interface BalanceRow extends AccountState {
  readonly customerId: string;
  readonly productId: string;
}

/** The store's side. Each method is one statement; every rejection means that the store could not be read. */
export interface CustomerFactsStore {
  load(question: FactsQuestion): Promise<Facts>;
  /**
   * The same for several questions of one environment and product, in one statement: the facts of each, in their order, are those
   * that it would get alone.
   */
  loadTogether(questions: readonly FactsQuestion[]): Promise<readonly Facts[]>;
  balances(questions: readonly BalanceQuestion[]): Promise<readonly BalanceRow[]>;
  /** `null`: not registered. */
  versionOf(environmentId: string, customerKey: string): Promise<number | null>;
}
