import type { CustomerFacts, InstanceFacts, SubjectFacts, UserFacts } from './customer-facts.js';
import { NO_FACTS } from './customer-facts.js';
import type { CustomerEntry, CustomerMemory } from './customer-memory.js';
import type { CustomerLookup } from './ports.js';
import { isStorableKey } from './storable-key.js';

/** What one load brought, for those who wait for it, whether or not it may be remembered. */
export interface Overlay {
  readonly customers: ReadonlyMap<string, CustomerEntry>;
  /** The reference that was asked, and what it is. */
  readonly instance: { readonly ref: string; readonly facts: InstanceFacts } | null;
  readonly users: ReadonlyMap<string, UserFacts>;
  readonly teams: ReadonlyMap<string, SubjectFacts>;
  readonly shared: SubjectFacts | null;
}

/** What a look-up needs and nobody has: the question of one statement. */
export interface Gap {
  readonly customerKeys: string[];
  instanceRef: string | null;
  readonly userKeys: string[];
  readonly teamKeys: string[];
  shared: boolean;
  /** Balances of customers that are known. */
  readonly balances: { readonly customerKey: string; readonly scope: string }[];
}

export interface Found {
  readonly customers: Map<string, CustomerEntry>;
  readonly users: Map<string, UserFacts>;
  readonly instance: InstanceFacts | null;
  readonly team: SubjectFacts;
  readonly shared: SubjectFacts;
  /** The users and the instance whose own accounts may count. */
  readonly scopes: readonly string[];
  /** `null`: everything that the look-up needs is here. */
  readonly gap: Gap | null;
}

/** Collects what a look-up needs from memory, and from loads that were waited for. No I/O, and nothing is awaited. */
export function gather(memory: CustomerMemory, request: CustomerLookup, overlays: readonly Overlay[]): Found {
  return new Gathering(memory, request, overlays).run();
}

class Gathering {
  readonly #memory: CustomerMemory;
  readonly #request: CustomerLookup;
  readonly #overlays: readonly Overlay[];
  readonly #customers = new Map<string, CustomerEntry>();
  readonly #users = new Map<string, UserFacts>();
  #gap: Gap | null = null;

  constructor(memory: CustomerMemory, request: CustomerLookup, overlays: readonly Overlay[]) {
    this.#memory = memory;
    this.#request = request;
    this.#overlays = overlays;
  }

  run(): Found {
    const { customerKeys, userKeys, instanceRef } = this.#request;
    const shared = this.#shared();
    const instance = instanceRef === null ? null : this.#instance(instanceRef);
    for (const key of userKeys) this.#user(key);
    const team = this.#team();
    for (const key of customerKeys) this.#customer(key);
    if (instance?.record != null) this.#customer(instance.record.customerKey);
    for (const user of this.#users.values()) {
      const [only, another] = user.customerKeys;
      if (only !== undefined && another === undefined) this.#customer(only);
    }
    const scopes = instance === null ? userKeys : [...userKeys, instance.key];
    this.#balances(scopes);
    return { customers: this.#customers, users: this.#users, instance, team, shared, scopes, gap: this.#gap };
  }

  #missing(): Gap {
    this.#gap ??= {
      customerKeys: [],
      instanceRef: null,
      userKeys: [],
      teamKeys: [],
      shared: false,
      balances: [],
    };
    return this.#gap;
  }

  /** Memory first: it is at least as fresh as a load that was waited for. */
  #loaded<Piece>(read: (overlay: Overlay) => Piece | null | undefined): Piece | undefined {
    for (let index = this.#overlays.length - 1; index >= 0; index -= 1) {
      const overlay = this.#overlays[index];
      const piece = overlay === undefined ? undefined : read(overlay);
      if (piece !== undefined && piece !== null) return piece;
    }
    return undefined;
  }

  /** The same, of facts that must not be older than what the look-up asks for. */
  #freshest<Facts extends SubjectFacts>(
    remembered: Facts | undefined,
    read: (overlay: Overlay) => Facts | null | undefined,
    atLeast = this.#request.atLeast?.subjects,
  ): Facts | undefined {
    const isFresh = (facts: Facts): boolean => atLeast === undefined || facts.version >= atLeast;
    if (remembered !== undefined && isFresh(remembered)) return remembered;
    return this.#loaded((overlay) => {
      const loaded = read(overlay);
      return loaded != null && isFresh(loaded) ? loaded : undefined;
    });
  }

  #shared(): SubjectFacts {
    const { environmentId, productId } = this.#request;
    const shared = this.#freshest(
      this.#memory.shared(environmentId, productId),
      (overlay) => overlay.shared,
      this.#request.atLeast?.shared,
    );
    if (shared === undefined) this.#missing().shared = true;
    return shared ?? NO_FACTS;
  }

  #instance(ref: string): InstanceFacts | null {
    if (!isStorableKey(ref)) return { key: ref, record: null, ...NO_FACTS };
    const { environmentId, productId } = this.#request;
    const known = this.#freshest(this.#memory.instance(environmentId, productId, ref), (overlay) =>
      overlay.instance?.ref === ref ? overlay.instance.facts : null,
    );
    if (known === undefined) this.#missing().instanceRef = ref;
    return known ?? null;
  }

  #user(key: string): void {
    if (this.#users.has(key)) return;
    const { environmentId, productId } = this.#request;
    const known = isStorableKey(key)
      ? this.#freshest(this.#memory.user(environmentId, productId, key), (overlay) => overlay.users.get(key))
      : { customerKeys: [], ...NO_FACTS };
    if (known === undefined) this.#missing().userKeys.push(key);
    else this.#users.set(key, known);
  }

  #team(): SubjectFacts {
    const { environmentId, productId, teamKey } = this.#request;
    if (teamKey === null || !isStorableKey(teamKey)) return NO_FACTS;
    const known = this.#freshest(this.#memory.team(environmentId, productId, teamKey), (overlay) =>
      overlay.teams.get(teamKey),
    );
    if (known === undefined) this.#missing().teamKeys.push(teamKey);
    return known ?? NO_FACTS;
  }

  #customer(key: string): void {
    if (this.#customers.has(key) || this.#gap?.customerKeys.includes(key) === true) return;
    const { environmentId, productId } = this.#request;
    const known = isStorableKey(key)
      ? (this.#memory.customer(environmentId, productId, key) ??
        this.#loaded((overlay) => overlay.customers.get(key)))
      : nobody(productId, key);
    if (known === undefined) this.#missing().customerKeys.push(key);
    else this.#customers.set(key, known);
  }

  #balances(scopes: readonly string[]): void {
    for (const [customerKey, entry] of this.#customers) {
      if (entry.facts.record === null) continue;
      if (!entry.balances.has('')) this.#missing().balances.push({ customerKey, scope: '' });
      for (const scope of scopes) {
        if (!entry.balances.has(scope) && isStorableKey(scope)) {
          this.#missing().balances.push({ customerKey, scope });
        }
      }
    }
  }
}

function nobody(productId: string, key: string): CustomerEntry {
  const facts: CustomerFacts = { key, record: null, licenses: [], groups: [], ...NO_FACTS };
  return { productId, facts, balances: new Map(), assembled: null };
}
