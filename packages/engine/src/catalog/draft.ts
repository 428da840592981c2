import type { BillingMapping } from '../model/billing.js';
import {
  type Addon,
  type Catalog,
  type CatalogAssertion,
  type Feature,
  type Flag,
  type Group,
  type ItemKind,
  type Plan,
  type ProductDocument,
  type Segment,
  versionedKey,
} from '../model/catalog.js';
import type { JsonObject } from '../model/json.js';
import type { ItemReference } from './issue.js';
import type { SourceNode } from './source-node.js';

/** The value of each kind of item. */
export interface ItemValues {
  product: ProductDocument;
  context: Readonly<Record<string, JsonObject>>;
  feature: Feature;
  plan: Plan;
  addon: Addon;
  group: Group;
  segment: Segment;
  flag: Flag;
  billing: BillingMapping;
  test: CatalogAssertion;
}

export type CatalogItemOf<Kind extends ItemKind> = { readonly kind: Kind; readonly value: ItemValues[Kind] };
export type AnyItem = { [Kind in ItemKind]: CatalogItemOf<Kind> }[ItemKind];

/** The list of a catalog that each kind of item stands in; product and context stand alone. */
export const SECTION_OF = {
  feature: 'features',
  plan: 'plans',
  addon: 'addons',
  group: 'groups',
  segment: 'segments',
  flag: 'flags',
  billing: 'billing',
  test: 'tests',
} as const satisfies Partial<Record<ItemKind, keyof Catalog>>;
export type ListedKind = keyof typeof SECTION_OF;
export const LISTED_KINDS = Object.keys(SECTION_OF) as readonly ListedKind[];

export const EMPTY_CATALOG: Catalog = {
  features: [],
  plans: [],
  addons: [],
  groups: [],
  segments: [],
  flags: [],
  billing: [],
  tests: [],
};

/** The key of an item's row: `pro@1` for plans and add-ons, the name for tests. */
export function itemKey(item: AnyItem): string {
  switch (item.kind) {
    case 'plan':
    case 'addon':
      return versionedKey(item.value.key, item.value.version);
    case 'test':
      return item.value.name;
    case 'context':
      return 'context';
    default:
      return item.value.key;
  }
}

export function itemReference(item: AnyItem): ItemReference {
  return { kind: item.kind, key: itemKey(item) };
}

/** Every item in the order of the document: product, context, then list by list. */
export function itemsOf(catalog: Catalog): AnyItem[] {
  return [
    ...(catalog.product ? [{ kind: 'product', value: catalog.product } as const] : []),
    ...(catalog.context ? [{ kind: 'context', value: catalog.context } as const] : []),
    ...LISTED_KINDS.flatMap((kind) =>
      (catalog[SECTION_OF[kind]] as readonly ItemValues[ListedKind][]).map(
        (value) => ({ kind, value }) as AnyItem,
      ),
    ),
  ];
}

export function catalogOf(items: Iterable<AnyItem>): Catalog {
  const lists: { [Kind in ListedKind]: ItemValues[Kind][] } = {
    feature: [],
    plan: [],
    addon: [],
    group: [],
    segment: [],
    flag: [],
    billing: [],
    test: [],
  };
  let product: ProductDocument | undefined;
  let context: ItemValues['context'] | undefined;
  for (const item of items) {
    if (item.kind === 'product') product = item.value;
    else if (item.kind === 'context') context = item.value;
    else (lists[item.kind] as ItemValues[ListedKind][]).push(item.value);
  }
  return {
    ...(product === undefined ? {} : { product }),
    ...(context === undefined ? {} : { context }),
    features: lists.feature,
    plans: lists.plan,
    addons: lists.addon,
    groups: lists.group,
    segments: lists.segment,
    flags: lists.flag,
    billing: lists.billing,
    tests: lists.test,
  };
}

function identity(item: AnyItem): string {
  return item.kind === 'product' || item.kind === 'context' ? item.kind : `${item.kind} ${itemKey(item)}`;
}

/**
 * `over` laid on `under`, item by item: what both have is taken from `over` and keeps its place, what is new comes last.
 * Members of the product that `over` leaves out keep what `under` says; context parts are laid over one by one.
 */
export function mergeCatalogs(under: Catalog, over: Catalog): Catalog {
  const merged = new Map(itemsOf(under).map((item) => [identity(item), item]));
  for (const item of itemsOf(over)) {
    const before = merged.get(identity(item));
    merged.set(identity(item), before === undefined ? item : layItem(before, item));
  }
  return catalogOf(merged.values());
}

function layItem(before: AnyItem, item: AnyItem): AnyItem {
  if (item.kind === 'product' && before.kind === 'product') {
    return { kind: 'product', value: { ...before.value, ...item.value } };
  }
  if (item.kind === 'context' && before.kind === 'context') {
    return { kind: 'context', value: { ...before.value, ...item.value } };
  }
  return item;
}

/** One item that was read, with the node it was written at. */
export interface DraftItem {
  readonly item: AnyItem;
  readonly node: SourceNode;
}

/** What the documents hold so far; `keys` also has the keys of items that could not be used, so that they are no echo. */
export class Draft {
  readonly items: DraftItem[] = [];
  readonly keys = new Map<ItemKind, Set<string>>();
  /** Where each item was written, by `kind key`. */
  readonly places = new Map<string, { readonly node: SourceNode; readonly reference: ItemReference }>();

  noteKey(kind: ItemKind, key: string): void {
    const keys = this.keys.get(kind) ?? new Set<string>();
    keys.add(key);
    this.keys.set(kind, keys);
  }

  catalog(): Catalog {
    return catalogOf(this.items.map(({ item }) => item));
  }
}
