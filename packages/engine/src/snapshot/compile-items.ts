import type { Catalog, Flag, ItemKind } from '../model/catalog.js';
import type { DisabledItem } from './compile-snapshot.js';
import { chain, fingerprint } from './fingerprint.js';
import type { Reads } from './reads.js';
import type { CompiledItem, Snapshot } from './snapshot.js';

/** So many items are taken over, or noted, between two yields; after one that is compiled there always is one. */
const SLICE = 64;

/** What people read about an item; it decides nothing. */
const GOVERNANCE: ReadonlySet<string> = new Set([
  'name',
  'description',
  'owner',
  'purpose',
  'removal',
  'expires',
  'rollback',
  'tags',
  'price',
]);

/** The text of what an item decides in one environment: other environments' differences and words for people are left out. */
export function effectiveText(source: object, environment: string): string {
  const effective: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(source)) {
    if (name === 'environments') effective[name] = (value as Flag['environments'])?.[environment];
    else if (!GOVERNANCE.has(name)) effective[name] = value;
  }
  return JSON.stringify(effective);
}

function* slicesOf<T>(list: readonly T[], each: (one: T) => void): Generator<void, void> {
  for (let index = 0; index < list.length; index += 1) {
    each(list[index] as T);
    if (index % SLICE === SLICE - 1) yield;
  }
}

/** What is declared under each key, so that an item is compiled anew when something it names became another thing. */
export function* declarationsOf(catalog: Catalog): Generator<void, ReadonlyMap<string, string>> {
  const declared = new Map<string, string>();
  yield* slicesOf(catalog.features, ({ key, type }) => declared.set(key, `feature ${type}`));
  yield* slicesOf(catalog.flags, ({ key, type }) => declared.set(key, `flag ${type}`));
  yield* slicesOf(catalog.segments, ({ key }) => declared.set(key, 'segment'));
  return declared;
}

/** Keys that were something else in the snapshot before: what asks for one of them must be compiled anew. */
export function* changedDeclarations(
  before: ReadonlyMap<string, string>,
  now: ReadonlyMap<string, string>,
): Generator<void, ReadonlySet<string>> {
  const changed = new Set<string>();
  yield* slicesOf([...before.keys()], (key) => {
    if (now.get(key) !== before.get(key)) changed.add(key);
  });
  return changed;
}

/** How one kind of item is compiled. */
export interface ItemPlan<Source extends object, Compiled> {
  readonly kind: ItemKind;
  readonly sources: readonly Source[];
  keyOf(source: Source): string;
  /** What the result depends on beside its source, as text: its index, say. */
  placeOf?(source: Source, index: number): string;
  compile(source: Source, index: number): Compiled;
  brokenOf?(compiled: Compiled): string | null;
  /** What it asks for by key. */
  readsOf?(compiled: Compiled): Reads | null;
}

/** Carries one compilation: what stayed is taken over from the snapshot before, what broke is noted. */
export class ItemCompiler {
  readonly items = new Map<string, CompiledItem>();
  readonly disabled: DisabledItem[] = [];
  hash = '';
  readonly #environment: string;
  readonly #previous: Snapshot | undefined;
  readonly #changed: ReadonlySet<string>;
  #compiled = 0;

  constructor(environment: string, previous: Snapshot | undefined, changed: ReadonlySet<string>) {
    this.#environment = environment;
    this.#previous = previous;
    this.#changed = changed;
  }

  /** Compiles all items of a kind, yielding after every few. */
  *all<Source extends object, Compiled>(
    plan: ItemPlan<Source, Compiled>,
  ): Generator<void, Map<string, Compiled>> {
    const result = new Map<string, Compiled>();
    for (let index = 0; index < plan.sources.length; index += 1) {
      const source = plan.sources[index];
      if (source === undefined) continue;
      const fresh = this.#compiled;
      result.set(plan.keyOf(source), this.#one(plan, source, index));
      if (this.#compiled !== fresh || index % SLICE === SLICE - 1) yield;
    }
    return result;
  }

  /** A broken item is always compiled anew: what it lacked may be there now. */
  #one<Source extends object, Compiled>(
    plan: ItemPlan<Source, Compiled>,
    source: Source,
    index: number,
  ): Compiled {
    const key = plan.keyOf(source);
    const id = `${plan.kind} ${key}`;
    const place = plan.placeOf?.(source, index) ?? '';
    const before = this.#previous?.items.get(id);
    const text = before?.source === source ? before.text : JSON.stringify(source);
    const reusable =
      before !== undefined &&
      before.broken === null &&
      before.place === place &&
      before.text === text &&
      !this.#asksForChanged(plan.readsOf?.(before.compiled as Compiled) ?? null);
    const item = reusable ? { ...before, source } : this.#fresh(plan, source, index, place, text);
    this.items.set(id, item);
    this.hash = chain(this.hash, `${id} ${item.hash}`);
    if (item.broken !== null) this.disabled.push({ kind: plan.kind, key, message: item.broken });
    return item.compiled as Compiled;
  }

  #asksForChanged(reads: Reads | null): boolean {
    if (reads === null || this.#changed.size === 0) return false;
    for (const keys of [reads.entitlements, reads.segments, reads.flags]) {
      for (const key of keys) if (this.#changed.has(key)) return true;
    }
    return false;
  }

  #fresh<Source extends object, Compiled>(
    plan: ItemPlan<Source, Compiled>,
    source: Source,
    index: number,
    place: string,
    text: string,
  ): CompiledItem {
    this.#compiled += 1;
    const compiled = plan.compile(source, index);
    const hash = fingerprint(`${place}\n${effectiveText(source, this.#environment)}`);
    return { source, text, place, hash, compiled, broken: plan.brokenOf?.(compiled) ?? null };
  }
}
