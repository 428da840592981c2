import { licenseLapse, licenseUntil } from '../evaluation/edges.js';
import type { PreparedCustomer } from '../evaluation/prepared-customer.js';
import { type EntitlementValue, versionedKey } from '../model/catalog.js';
import type { Instant } from '../model/customer.js';
import type { Source } from '../model/decision.js';
import type { CompiledAddon } from '../snapshot/snapshot.js';
import { capped, lifted, sum } from './combine.js';
import { type Draft, valueText } from './draft.js';

interface Bought {
  readonly addon: CompiledAddon;
  readonly quantity: number;
  readonly until: Instant | null;
}

/** The add-ons of all licenses in force that name the feature, in catalog order. */
function boughtOf(draft: Draft, prepared: PreparedCustomer): readonly Bought[] {
  const bought: Bought[] = [];
  for (const license of prepared.licenses) {
    if (license.addons.length === 0 || licenseLapse(license, draft.now) !== null) continue;
    for (const { addon: key, version, quantity } of license.addons) {
      const addon = prepared.snapshot.addons.get(versionedKey(key, version));
      if (addon?.entitlements.has(draft.feature.key) !== true || quantity < 1) continue;
      bought.push({ addon, quantity, until: licenseUntil(license) });
    }
  }
  return bought.sort((a, b) => a.addon.order - b.addon.order);
}

function sourceOf({ addon, until }: Bought, effect: Source['effect'], value: EntitlementValue): Source {
  return { type: 'addon', key: addon.name, effect, value, until };
}

/**
 * Step four: what was bought on top. Overrides first (of several the last in the catalog), then the largest `max`, then
 * everything that is added, times its quantity: no group takes that away.
 */
export function applyAddons(draft: Draft, prepared: PreparedCustomer): void {
  const bought = boughtOf(draft, prepared);
  if (bought.length === 0) return;
  const key = draft.feature.key;
  for (const one of bought) {
    const value = draft.usable(one.addon.entitlements.get(key)?.override);
    if (value === null) continue;
    draft.current = value;
    draft.took(
      'addon',
      sourceOf(one, 'override', value),
      () => `Add-on \`${one.addon.name}\` sets ${valueText(value)}.`,
    );
  }
  if (!draft.feature.numeric) return;
  for (const one of bought) {
    const value = draft.usable(one.addon.entitlements.get(key)?.max);
    if (value === null || typeof value === 'boolean' || typeof value === 'object') continue;
    draft.current = lifted(draft.current, value);
    draft.took(
      'addon',
      sourceOf(one, 'max', value),
      () => `Add-on \`${one.addon.name}\` lifts to at least ${value}.`,
    );
  }
  for (const one of bought) {
    const each = one.addon.entitlements.get(key)?.add;
    if (each === undefined || !Number.isSafeInteger(each)) continue;
    const amount = capped(each * one.quantity);
    draft.current = sum(draft.current, amount);
    draft.took('addon', sourceOf(one, 'add', amount), () => {
      return `Add-on \`${one.addon.name}\` × ${one.quantity} adds ${amount}.`;
    });
  }
}
