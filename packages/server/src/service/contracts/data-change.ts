import type { Instant } from '@pennon/engine/model/customer';
import { type Kysely, type Selectable, sql, type Transaction } from 'kysely';
import { violatedUniqueIndex } from '../../store/database-error.js';
import { markChanged } from '../../store/hook-states.js';
import { fromInstant } from '../../store/instant.js';
import { writeToldChanges } from '../../store/outbox-changes.js';
import type { CustomerTable, Tables } from '../../store/tables.js';
import { commitAnswered } from '../answer.js';
import { encodeConsistency } from '../consistency.js';
import type { ChangeContext } from '../credential.js';
import { toSubjectPoint } from '../customer-states.js';
import { type ChangeEntry, type ToldChange, tellChanges } from '../hooks/told-changes.js';
import type { AuditChange, AuditTrail, ChangeFeed, ChangeNotice, Clock, Directory } from '../ports.js';
import { ServiceError } from '../service-error.js';

/** What the use-cases of customers, licenses, memberships and grants are built on. */
export interface ContractServices {
  readonly database: Kysely<Tables>;
  readonly directory: Directory;
  readonly audit: AuditTrail;
  readonly changes: ChangeFeed;
  readonly clock: Clock;
}

/** What a write answers: the item as it is now, and the token that makes a later read at least that new. */
export interface Changed<Item> {
  readonly item: Item;
  readonly created: boolean;
  readonly consistency: string;
}

/** What an audit entry says besides who, where and when; and of an object that is removed what it was, for those who are told of it. */
export type DataEntry = Omit<AuditChange, 'environmentId'> & Pick<ChangeEntry, 'removed'>;

type SubjectKind = 'user' | 'team' | 'instance';
type CustomerRow = Selectable<CustomerTable>;

/** One change of an environment's data: everything that it touches is told in the same transaction. */
export class DataChange {
  readonly transaction: Transaction<Tables>;
  readonly environmentId: string;
  readonly now: Instant;
  readonly #services: ContractServices;
  readonly #context: ChangeContext;
  readonly #customers = new Map<string, number>();
  readonly #subjects = new Map<string, { readonly kind: SubjectKind; readonly key: string }>();
  readonly #erased = new Set<string>();
  readonly #told: ToldChange[] = [];
  #sharedTouched = false;

  constructor(
    services: ContractServices,
    context: ChangeContext,
    environmentId: string,
    transaction: Transaction<Tables>,
  ) {
    this.#services = services;
    this.#context = context;
    this.environmentId = environmentId;
    this.transaction = transaction;
    this.now = services.clock.now();
  }

  /** Locks the customer's row, so that changes of one customer follow each other. `null`: not registered. */
  async lockCustomer(key: string): Promise<CustomerRow | null> {
    const row = await this.transaction
      .selectFrom('customer')
      .selectAll()
      .where('environment_id', '=', this.environmentId)
      .where('key', '=', key)
      .forUpdate()
      .executeTakeFirst();
    if (row !== undefined && row.erased_at !== null) throw erasedAlready(key);
    return row ?? null;
  }

  /**
   * Raises the versions of customers that are concerned, once per change. Their rows are locked in the order of their keys, so
   * that changes of many customers never wait for each other in a circle.
   */
  async touchCustomers(keys: Iterable<string>): Promise<void> {
    const untouched = [...new Set(keys)].filter((key) => !this.#customers.has(key)).sort();
    if (untouched.length === 0) return;
    const { rows } = await sql<{ key: string; version: number }>`
      update customer set version = customer.version + 1
      from (select c.id from customer c
            where c.environment_id = ${this.environmentId} and c.key = any(${untouched}::text[])
            order by c.key for update) as concerned
      where customer.id = concerned.id
      returning customer.key, customer.version`.execute(this.transaction);
    for (const key of untouched) this.#customers.set(key, 0);
    for (const { key, version } of rows) this.#customers.set(key, version);
  }

  async touchCustomer(key: string): Promise<number> {
    await this.touchCustomers([key]);
    return this.#customers.get(key) ?? 0;
  }

  /** Of a customer that was inserted at that version: who looked for it before must look again. */
  noteCreated(key: string, version: number): void {
    this.#customers.set(key, version);
  }

  /** Of a customer that has this key no longer: no version of it can be waited for. */
  noteErased(key: string): void {
    this.#erased.add(key);
  }

  touchSubject(kind: SubjectKind, key: string): void {
    this.#subjects.set(`${kind}/${key}`, { kind, key });
  }

  /** Grants of groups and segments. */
  touchShared(): void {
    this.#sharedTouched = true;
  }

  /** INVARIANT (law 8): every use-case of this folder records its change here, in the change's own transaction. */
  async record(change: DataEntry): Promise<void> {
    await this.recordAll([change]);
  }

  /** The same for many changes at once. */
  async recordAll(changes: readonly DataEntry[]): Promise<void> {
    const { environmentId } = this;
    await this.#services.audit.recordChanges(
      this.transaction,
      this.#context,
      changes.map((change) => ({ ...change, environmentId })),
    );
    this.#told.push(...tellChanges(changes, this.now));
  }

  /** INVARIANT: what is told of a change commits with it. After the work, when every version is known. */
  async tell(): Promise<void> {
    const { environmentId, transaction } = this;
    const where = { environmentId, occurredAt: fromInstant(this.now), versions: this.#customers };
    await writeToldChanges(transaction, where, this.#told);
    const customerKeys = [...this.#customers.keys()];
    await markChanged(transaction, environmentId, { customerKeys, everybody: this.#sharedTouched });
  }

  /**
   * INVARIANT (law 2): what reaches customers whose version it cannot raise raises the environment's, in the change's own
   * transaction. Last of all, so that changes wait for each other on this row as briefly as can be.
   */
  async raiseVersions(): Promise<void> {
    if (this.#subjects.size === 0 && !this.#sharedTouched) return;
    await this.transaction
      .updateTable('environment')
      .set((expression) => ({
        ...(this.#subjects.size > 0 ? { subject_version: expression('subject_version', '+', 1) } : {}),
        ...(this.#sharedTouched ? { shared_version: expression('shared_version', '+', 1) } : {}),
      }))
      .where('id', '=', this.environmentId)
      .execute();
  }

  notices(): ChangeNotice[] {
    const { environmentId } = this;
    return [
      ...[...this.#customers].map(
        ([customerKey, version]): ChangeNotice => ({ kind: 'customer', environmentId, customerKey, version }),
      ),
      ...[...this.#subjects.values()].map(
        ({ kind, key }): ChangeNotice => ({
          kind: 'subject',
          environmentId,
          subjectKind: kind,
          subjectKey: key,
        }),
      ),
      ...(this.#sharedTouched ? [{ kind: 'environment-customers', environmentId } as const] : []),
    ];
  }

  consistency(): string {
    const { environmentId } = this;
    const points = [
      ...[...this.#customers].map(([customerKey, version]) =>
        this.#erased.has(customerKey)
          ? { environmentId, customerKey: toSubjectPoint('customer', customerKey), version: 0 }
          : { environmentId, customerKey, version },
      ),
      ...[...this.#subjects.values()].map(({ kind, key }) => ({
        environmentId,
        customerKey: toSubjectPoint(kind, key),
        version: 0,
      })),
      ...(this.#sharedTouched
        ? [{ environmentId, customerKey: toSubjectPoint('shared', ''), version: 0 }]
        : []),
    ];
    return encodeConsistency({ customers: points });
  }
}

function erasedAlready(key: string): ServiceError {
  return new ServiceError(
    'conflict',
    'CUSTOMER_ERASED',
    `The customer \`${key}\` was erased. It stays on record and takes no change; create another one.`,
  );
}

/** Lost races: two changes that lock in another order, or two that create the same thing. The second then sees the first. */
const ATTEMPTS = 3;

function isLostRace(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : null;
  return code === '40P01' || code === '40001' || violatedUniqueIndex(error) !== null;
}

/**
 * Runs one change: the work, its audit entries and the rows that other processes hear of commit together; then this process
 * hears of it before the caller does (F-4).
 */
export async function changeData<Item>(
  services: ContractServices,
  context: ChangeContext,
  environmentId: string,
  work: (change: DataChange) => Promise<{ readonly item: Item; readonly created: boolean }>,
): Promise<Changed<Item>> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await changeOnce(services, context, environmentId, work);
    } catch (error) {
      if (!isLostRace(error)) throw error;
      if (attempt >= ATTEMPTS) throw raceLost(error);
    }
  }
}

function raceLost(cause: unknown): ServiceError {
  return new ServiceError(
    'conflict',
    'CHANGED_AT_THE_SAME_TIME',
    'Others changed the same thing at the same time, again and again. Read it, and try once more.',
    { cause },
  );
}

async function changeOnce<Item>(
  services: ContractServices,
  context: ChangeContext,
  environmentId: string,
  work: (change: DataChange) => Promise<{ readonly item: Item; readonly created: boolean }>,
): Promise<Changed<Item>> {
  const { changed, notices } = await commitAnswered(
    services.database,
    context.call,
    async (transaction) => {
      const change = new DataChange(services, context, environmentId, transaction);
      const result = await work(change);
      const notices = change.notices();
      await change.tell();
      await services.changes.writeAll(transaction, notices);
      await change.raiseVersions();
      return { changed: { ...result, consistency: change.consistency() }, notices };
    },
    (done) => context.call?.answerOf(done.changed) ?? null,
  );
  for (const notice of notices) await services.changes.publishLocally(notice);
  return changed;
}
