import type { BillingMapping } from '@pennon/engine/model/billing';
import type {
  Addon,
  Feature,
  Flag,
  Group,
  ItemKind,
  Plan,
  ProductDocument,
  Segment,
} from '@pennon/engine/model/catalog';
import type { Transaction } from 'kysely';
import type { Tables } from '../../store/tables.js';
import type { EnvironmentRecord, ProductRecord } from '../ports.js';
import { ServiceError } from '../service-error.js';

interface Documents {
  readonly product: ProductDocument;
  readonly feature: Feature;
  readonly plan: Plan;
  readonly addon: Addon;
  readonly group: Group;
  readonly segment: Segment;
  readonly flag: Flag;
  readonly billing: BillingMapping;
}
export type PublishedKind = Extract<ItemKind, keyof Documents>;

/**
 * The catalog that is published to one environment, read in the transaction that is about to name its items. A share of the
 * product's lock is held, so that nobody removes an item while something begins to name it.
 */
export class PublishedItems {
  readonly #transaction: Transaction<Tables>;
  readonly #productId: string;
  readonly #revision: number;

  private constructor(transaction: Transaction<Tables>, productId: string, revision: number) {
    this.#transaction = transaction;
    this.#productId = productId;
    this.#revision = revision;
  }

  static async open(
    transaction: Transaction<Tables>,
    product: ProductRecord,
    environment: EnvironmentRecord,
    /** False: it is only read, and nothing begins to name anything. */
    isHeld = true,
  ): Promise<PublishedItems> {
    if (isHeld)
      await transaction.selectFrom('product').select('id').where('id', '=', product.id).forShare().execute();
    const row = await transaction
      .selectFrom('environment_revision')
      .select('revision')
      .where('product_id', '=', product.id)
      .where('environment_id', '=', environment.id)
      .executeTakeFirst();
    if (row === undefined) {
      throw new ServiceError(
        'unprocessable',
        'NOTHING_PUBLISHED',
        `Nothing is published of the product \`${product.key}\` to the environment \`${environment.key}\`. Publish its catalog there first.`,
      );
    }
    return new PublishedItems(transaction, product.id, row.revision);
  }

  #live() {
    return this.#transaction
      .selectFrom('catalog_item')
      .where('product_id', '=', this.#productId)
      .where('from_revision', '<=', this.#revision)
      .where((where) =>
        where.or([where('to_revision', 'is', null), where('to_revision', '>', this.#revision)]),
      );
  }

  /** By item keys (`pro@1` for plans and add-ons). */
  async find<Kind extends PublishedKind>(
    kind: Kind,
    keys: readonly string[],
  ): Promise<ReadonlyMap<string, Documents[Kind]>> {
    if (keys.length === 0) return new Map();
    const rows = await this.#live()
      .select(['key', 'text'])
      .where('kind', '=', kind)
      .where('key', 'in', [...new Set(keys)])
      .execute();
    return new Map(rows.map((row) => [row.key, JSON.parse(row.text) as Documents[Kind]]));
  }

  async findOne<Kind extends PublishedKind>(kind: Kind, key: string): Promise<Documents[Kind] | null> {
    return (await this.find(kind, [key])).get(key) ?? null;
  }

  /** Every version of a plan or an add-on, the lowest first. */
  async versionsOf<Kind extends 'plan' | 'addon'>(
    kind: Kind,
    key: string,
  ): Promise<readonly Documents[Kind][]> {
    const rows = await this.#live()
      .select('text')
      .where('kind', '=', kind)
      .where('key', '>=', `${key}@`)
      .where('key', '<', `${key}A`)
      .execute();
    return rows
      .map((row) => JSON.parse(row.text) as Documents[Kind])
      .filter((document) => document.key === key)
      .sort((left, right) => (left.version ?? 0) - (right.version ?? 0));
  }

  /** Every item of a kind, by its item key. */
  async all<Kind extends PublishedKind>(kind: Kind): Promise<ReadonlyMap<string, Documents[Kind]>> {
    const rows = await this.#live().select(['key', 'text']).where('kind', '=', kind).execute();
    return new Map(rows.map((row) => [row.key, JSON.parse(row.text) as Documents[Kind]]));
  }

  /** For suggestions: every key of a kind, plans and add-ons without their versions. */
  async keysOf(kind: PublishedKind): Promise<readonly string[]> {
    const rows = await this.#live().select('key').where('kind', '=', kind).orderBy('key').execute();
    return [...new Set(rows.map((row) => row.key.replace(/@\d+$/, '')))];
  }

  async product(): Promise<ProductDocument | null> {
    const row = await this.#live().select('text').where('kind', '=', 'product').executeTakeFirst();
    return row === undefined ? null : (JSON.parse(row.text) as ProductDocument);
  }
}
