import { suggestName } from '../cel/suggest.js';
import type { BillingItemMapping, BillingMapping, MappedAddon } from '../model/billing.js';
import { versionedKey } from '../model/catalog.js';
import type { CheckScope } from './check-scope.js';
import { quoted } from './issue-sink.js';

/** The section `billing`: every item means something, once, and what it means exists. */

const NAMED_BY = ['price', 'lookupKey', 'product'] as const;

export function checkBilling(billing: BillingMapping, scope: CheckScope): void {
  const seen = new Set<string>();
  for (const item of billing.items) {
    checkNamedOnce(item, seen, scope);
    checkMeaning(item, scope);
    if (item.plan !== undefined) checkVersion('plan', item.plan, item.version, item, 'plan', scope);
    for (const addon of item.addons ?? []) checkMappedAddon(addon, scope);
  }
  const plans = new Set<string>();
  for (const entry of billing.plans ?? []) {
    scope.refer('plan', entry.plan, entry, 'plan');
    if (plans.has(entry.plan)) {
      const message = `The access of ${quoted(entry.plan)} is said twice here; keep one.`;
      scope.fault(entry, 'plan', 'DUPLICATE_DEFINITION', message);
    }
    plans.add(entry.plan);
  }
}

/** An item that two entries name would give what comes first, and nobody would see the other. */
function checkNamedOnce(item: BillingItemMapping, seen: Set<string>, scope: CheckScope): void {
  for (const member of NAMED_BY) {
    const name = item[member];
    if (name === undefined) continue;
    if (seen.has(`${member} ${name}`)) {
      const message = `The ${member} ${quoted(name)} is mapped twice here; put everything that it gives into one entry.`;
      scope.fault(item, member, 'DUPLICATE_DEFINITION', message);
    }
    seen.add(`${member} ${name}`);
  }
}

function checkMeaning(item: BillingItemMapping, scope: CheckScope): void {
  const gives = item.plan !== undefined || (item.addons ?? []).length > 0;
  if (item.ignore === true && gives) {
    const message = 'An item that is ignored gives nothing: remove `ignore`, or what it gives.';
    scope.fault(item, 'ignore', 'BILLING_MAPPING', message);
  }
  if (item.ignore !== true && !gives) {
    const message = 'This item gives nothing: name its `plan` or its `addons`, or say `ignore: true`.';
    scope.fault(item, undefined, 'BILLING_MAPPING', message);
  }
  if (item.version !== undefined && item.plan === undefined) {
    scope.fault(item, 'version', 'BILLING_MAPPING', '`version` is of the plan, and no `plan` is named here.');
  }
}

function checkMappedAddon(addon: MappedAddon, scope: CheckScope): void {
  if (addon.each !== undefined && addon.quantity !== undefined) {
    const message =
      '`each` counts by the quantity of the item, and `quantity` says how many whatever it is; keep one.';
    scope.fault(addon, 'quantity', 'BILLING_MAPPING', message);
  }
  checkVersion('addon', addon.addon, addon.version, addon, 'addon', scope);
}

/** A price is sold under one version for as long as it lives, so which one is meant should be read, not guessed. */
function checkVersion(
  kind: 'plan' | 'addon',
  key: string,
  version: number | undefined,
  holder: object,
  member: string,
  scope: CheckScope,
): void {
  const offers = kind === 'plan' ? scope.catalog.plans : scope.catalog.addons;
  const word = kind === 'plan' ? 'plan' : 'add-on';
  const versions = offers.filter((offer) => offer.key === key).map((offer) => offer.version ?? 0);
  if (versions.length === 0) {
    if (kind === 'plan') scope.refer('plan', key, holder, member);
    else if (!scope.acceptUnknown && !scope.isWritten('addon', key)) {
      const message = `There is no add-on ${quoted(key)}; declare it or correct the key.`;
      scope.fault(
        holder,
        member,
        'UNKNOWN_REFERENCE',
        message,
        suggestName(key, new Set(offers.map((offer) => offer.key))),
      );
    }
    return;
  }
  const known = versions.map((one) => `\`${versionedKey(key, one)}\``).join(', ');
  if (version === undefined && versions.length > 1) {
    const message = `The ${word} ${quoted(key)} has several versions, ${known}, and none is named, which is 0; name the \`version\` that is bought.`;
    scope.warn(holder, member, 'BILLING_MAPPING', message);
  }
  if (!versions.includes(version ?? 0) && !scope.isWritten(kind, versionedKey(key, version))) {
    const message = `${quoted(versionedKey(key, version))} is no version of the ${word}; there is ${known}.`;
    scope.fault(holder, version === undefined ? member : 'version', 'UNKNOWN_REFERENCE', message);
  }
}
