import type { Catalog, Flag, ItemKind } from '../model/catalog.js';
import type { DisabledItem } from './compile-snapshot.js';
import { chain, fingerprint } from './fingerprint.js';
import type { CompiledItem, Snapshot } from './snapshot.js';

/** So many items are compiled between two yields: well under five milliseconds of the largest ones. */
const SLICE = 16;

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
  return JSON.stringify(source, (name, value: unknown) => {
    if (name === 'environments') return (value as Flag['environments'])?.[environment];
    return GOVERNANCE.has(name) && typeof value !== 'object' ? undefined : value;
  });
}

/** What is declared under each key, so that an item is compiled anew when something it names became another thing. */
export function declarationsOf(catalog: Catalog): ReadonlyMap<string, string> {
  const declared = new Map<string, string>();
  for (const { key, type } of catalog.features) declared.set(key, `feature ${type}`);
  for (const { key, type } of catalog.flags) declared.set(key, `flag ${type}`);
  for (const { key } of catalog.segments) declared.set(`segment ${key}`, 'segment');
  return declared;
}

/** Carries one compilation: what stayed is taken over from the snapshot before, what broke is noted. */
export class ItemCompiler {
  readonly items = new Map<string, CompiledItem>();
  readonly disabled: DisabledItem[] = [];
  hash = '';
  readonly #previous: Snapshot | undefined;
  readonly #environment: string;
  #done = 0;

  constructor(environment: string, previous: Snapshot | undefined) {
    this.#environment = environment;
    this.#previous = previous;
  }

  /**
   * `place` is what the result depends on beside its source (its index, say); the same source in the same place gives the very
   * object of the snapshot before. A broken item is always compiled anew: what it lacked may be there now.
   */
  item<T>(
    kind: ItemKind,
    key: string,
    source: object,
    place: string,
    compile: () => { readonly compiled: T; readonly broken: string | null },
  ): T {
    const id = `${kind} ${key}`;
    const before = this.#previous?.items.get(id);
    const sameSource = before?.source === source && before.text?.startsWith(place) === true;
    const text = sameSource ? before.text : `${place}\n${effectiveText(source, this.#environment)}`;
    const reusable = before !== undefined && before.broken === null && before.text === text;
    const item = reusable ? { ...before, source } : this.#fresh(source, text ?? '', compile());
    this.items.set(id, item);
    this.hash = chain(this.hash, `${id} ${item.hash}`);
    if (item.broken !== null) this.disabled.push({ kind, key, message: item.broken });
    return item.compiled as T;
  }

  /** Whether the caller should yield now. */
  sliceDone(): boolean {
    this.#done += 1;
    return this.#done % SLICE === 0;
  }

  #fresh<T>(source: object, text: string, result: { compiled: T; broken: string | null }): CompiledItem {
    return { source, text, hash: fingerprint(text), compiled: result.compiled, broken: result.broken };
  }
}
