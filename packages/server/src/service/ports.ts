import type { CreditLot, CustomerState, Hold, Instant } from '@pennon/engine/model/customer';
import type { Reservation } from '@pennon/engine/model/decision';
import type { JsonObject } from '@pennon/engine/model/json';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import type { Transaction } from 'kysely';
import type { Tables } from '../store/tables.js';
import type { ChangeContext, Credential } from './credential.js';

/** The process clock corrected by its offset to the database's (law 9). Milliseconds since the epoch. */
export interface Clock {
  now(): Instant;
}

/** Compiled snapshots, in memory and immutable. Reading one never waits (law 1). */
export interface Snapshots {
  /** `null`: nothing was ever published for that product in that environment. */
  current(productId: string, environmentId: string): Snapshot | null;
  /** Loads until that revision or a newer one is current; rejects with `unavailable` at the deadline. */
  atLeast(
    productId: string,
    environmentId: string,
    revision: number,
    deadlineMilliseconds: number,
  ): Promise<Snapshot>;
}

/** Products and environments by id and by key, in memory and on disk beside the snapshots. */
export interface Directory {
  product(idOrKey: string): ProductRecord | null;
  environment(idOrKey: string): EnvironmentRecord | null;
  /** The product that a key for all products means when nothing is named: the only one, else the default one. */
  defaultProduct(): ProductRecord | null;
}

export interface ProductRecord {
  readonly id: string;
  readonly key: string;
}

export interface EnvironmentRecord {
  readonly id: string;
  readonly key: string;
}

/**
 * How often users, teams and instances of an environment changed, and grants of its groups and segments: such a change reaches
 * customers whose own version it cannot raise.
 */
export interface EnvironmentVersions {
  readonly subjects: number;
  readonly shared: number;
}

/** What the caller named, by key as sent; every member may be absent. */
export interface CustomerLookup {
  readonly environmentId: string;
  readonly productId: string;
  /** Candidates: `customer.key`, `team.key`, `targetingKey`, and the token's customer. */
  readonly customerKeys: readonly string[];
  /** An instance's key or id. */
  readonly instanceRef: string | null;
  readonly userKeys: readonly string[];
  readonly teamKey: string | null;
  /** What was read before these is read again. */
  readonly atLeast?: EnvironmentVersions;
  /** Balances are read under a lock before anything is decided: those in memory, however old, are not read again for it. */
  readonly balancesUnderLock?: true;
}

/** What the store knows of those keys. Unreachable is not unknown: that is a rejection with `unavailable`. */
export interface CustomerLookupResult {
  /** By key; keys that are not registered are absent. */
  readonly customers: ReadonlyMap<string, CustomerState>;
  readonly instance: {
    readonly id: string;
    readonly key: string;
    readonly customerKey: string;
    readonly metadata: JsonObject;
  } | null;
  /** The customers that each user belongs to, by user key. */
  readonly customersOfUsers: ReadonlyMap<string, readonly string[]>;
  /** The oldest that the answer rests on. */
  readonly versions: EnvironmentVersions;
  /**
   * The state to decide with, once the subject is resolved to one customer key: the customer's own (or that of an unregistered
   * one), with the grants and memberships of the named user, instance and team, and every group and segment grant.
   */
  stateOf(customerKey: string): CustomerState;
  /**
   * Where no customer is named: what the named user, instance and team have of their own, under an empty key. `null` where they
   * have nothing, which is the common case.
   */
  stateOfNobody(): CustomerState | null;
}

export interface CustomerStates {
  /**
   * Synchronous when everything asked for is in memory (law 1: no I/O); else one statement, single flight, 50 ms by default,
   * rejecting with a ServiceError of kind `unavailable` and code `CUSTOMER_STATE_UNAVAILABLE`.
   */
  lookup(request: CustomerLookup): CustomerLookupResult | Promise<CustomerLookupResult>;
  /** Makes sure that the customer in memory is at least at this version. */
  atLeast(
    environmentId: string,
    customerKey: string,
    version: number,
    deadlineMilliseconds: number,
  ): Promise<void>;
  /** Takes over balances that this process itself has just written, so that its own consumes show at once. */
  noteBalance(
    environmentId: string,
    customerKey: string,
    account: {
      /** Features of two products may share a key. */
      productId: string;
      feature: string;
      scope: string;
      periodStart: Instant | null;
      used: number;
      reserved: number;
      /** Where the write knows them; else what was known of them stays. */
      holds?: readonly Hold[];
      periodEnd?: Instant | null;
      covered?: number;
      /** Those that are open; left out: none. */
      lots?: readonly CreditLot[];
    },
  ): void;
}

/** A reservation with whom it was made for. */
export interface ReservationRecord {
  readonly environmentId: string;
  readonly productId: string;
  readonly customerKey: string;
  readonly feature: string;
  /** Besides the customer. */
  readonly context: JsonObject;
  readonly reservation: Reservation;
}

export interface Reservations {
  /** One statement, without a lock; rejects when the store cannot be read. */
  find(id: string): Promise<ReservationRecord | null>;
}

/** One immutable record of a change, written in the change's own transaction (law 8). */
export interface AuditChange {
  readonly action: string;
  readonly environmentId: string | null;
  readonly productId: string | null;
  readonly objectKind: string;
  readonly objectId: string;
  readonly objectVersion: number;
  /** The complete object after the change; `null` when it was removed. */
  readonly after: JsonObject | null;
  /** Members of `after` that are personal, by subject: they enter only encrypted under the subject's key. */
  readonly personal?: {
    readonly subjectKind: string;
    readonly subjectId: string;
    readonly members: JsonObject;
  };
}

export interface AuditTrail {
  recordChange(
    transaction: Transaction<Tables>,
    context: ChangeContext,
    change: AuditChange,
  ): Promise<string>;
  /** Several of one transaction, in as many statements as one. */
  recordChanges(
    transaction: Transaction<Tables>,
    context: ChangeContext,
    changes: readonly AuditChange[],
  ): Promise<readonly string[]>;
}

/** What other processes must hear of; a row in the change's own transaction (freshness). */
export type ChangeNotice =
  | {
      readonly kind: 'revision';
      readonly productId: string;
      readonly environmentId: string;
      readonly revision: number;
    }
  | {
      readonly kind: 'customer';
      readonly environmentId: string;
      readonly customerKey: string;
      readonly version: number;
    }
  /** A user, team or instance whose memberships, grants or owner changed. */
  | {
      readonly kind: 'subject';
      readonly environmentId: string;
      readonly subjectKind: 'user' | 'team' | 'instance';
      readonly subjectKey: string;
    }
  /**
   * Grants of groups and segments reach customers that nobody can list. They are kept once per environment and product, and
   * that is what is forgotten: the customers themselves stay in memory, so that no stampede follows.
   */
  | { readonly kind: 'environment-customers'; readonly environmentId: string }
  | { readonly kind: 'keys' }
  | { readonly kind: 'directory' };

export interface ChangeFeed {
  /** Writes the row; the notice reaches this process before `publishLocally` returns, others within a second. */
  write(transaction: Transaction<Tables>, notice: ChangeNotice): Promise<void>;
  /** Several of one transaction, in as many statements as one. */
  writeAll(transaction: Transaction<Tables>, notices: readonly ChangeNotice[]): Promise<void>;
  /** Called after commit by whoever wrote, before it answers: the writing process answers with its own change. */
  publishLocally(notice: ChangeNotice): Promise<void>;
  subscribe(listener: (notice: ChangeNotice) => void | Promise<void>): void;
  /** After a reconnect nothing is certain: everything is loaded again. */
  subscribeToReset(listener: () => void | Promise<void>): void;
}

/** What was presented is not valid; `code` and `message` say why without saying what would be. */
export interface AuthenticationRefusal {
  readonly kind: 'refused';
  readonly code: string;
  readonly message: string;
}

export interface Authenticator {
  /** From the headers alone, in memory, in constant time. */
  authenticate(
    headers: Readonly<Record<string, string | string[] | undefined>>,
  ): Credential | AuthenticationRefusal;
}
