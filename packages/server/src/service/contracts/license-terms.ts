import { readSkuPattern, splitSku } from '@pennon/engine/catalog/sku-pattern';
import { type Addon, type Plan, versionedKey } from '@pennon/engine/model/catalog';
import type { Instant, LicenseAddon, LicenseKind, LicenseStatus } from '@pennon/engine/model/customer';
import { anchorAt, parseAnchor } from '@pennon/engine/period/anchor';
import type { LicenseCreate, LicensePatch } from '@pennon/protocol/management/licenses';
import { fromTime } from '../times.js';
import type { PublishedItems } from './published-items.js';
import { checkSpan, checkTimeZone, refuse, timeOr, unknownName } from './refusals.js';

/** What a license says, as it is stored; `null` members are empty. */
export interface LicenseTerms {
  readonly plan: string;
  readonly planVersion: number;
  readonly quantity: number;
  readonly kind: LicenseKind;
  readonly status: LicenseStatus;
  readonly startsAt: Instant;
  readonly endsAt: Instant | null;
  readonly graceEndsAt: Instant | null;
  readonly timeZone: string | null;
  readonly sku: string | null;
  readonly contractReference: string | null;
  readonly addons: readonly LicenseAddon[];
}

interface NamedPlan {
  readonly plan: string;
  readonly planVersion: number;
  readonly sku: string | null;
}

/** The terms of a new license, or of one after a change: what the body leaves out stays as it was. */
export async function readTerms(
  items: PublishedItems,
  body: Omit<LicenseCreate, 'reason' | 'product' | 'anchor'> | LicensePatch,
  before: LicenseTerms | null,
  now: Instant,
): Promise<LicenseTerms> {
  checkTimeZone(body.timeZone);
  const named = await readPlan(items, body, before);
  const kind = body.kind ?? before?.kind ?? 'paid';
  const startsAt =
    body.startsAt === undefined ? (before?.startsAt ?? now) : fromTime(body.startsAt, '/startsAt');
  const terms: LicenseTerms = {
    ...named,
    quantity: body.quantity ?? before?.quantity ?? 1,
    kind,
    status: body.status ?? before?.status ?? (kind === 'trial' ? 'trialing' : 'active'),
    startsAt,
    endsAt: timeOr(body.endsAt, '/endsAt', before?.endsAt ?? null),
    graceEndsAt: timeOr(body.graceEndsAt, '/graceEndsAt', before?.graceEndsAt ?? null),
    timeZone: body.timeZone === undefined ? (before?.timeZone ?? null) : body.timeZone,
    contractReference:
      body.contractReference === undefined ? (before?.contractReference ?? null) : body.contractReference,
    addons: await readAddons(items, body.addons ?? before?.addons ?? [], named.plan),
  };
  checkTerms(terms);
  return terms;
}

function checkTerms(terms: LicenseTerms): void {
  checkSpan(terms.startsAt, terms.endsAt);
  if (terms.kind === 'contract' && terms.contractReference === null) {
    throw refuse(
      'unprocessable',
      'CONTRACT_REFERENCE_MISSING',
      'A license of kind `contract` names the contract that it rests on: send `contractReference`.',
      '/contractReference',
    );
  }
  if (terms.kind === 'trial' && terms.endsAt === null) {
    throw refuse(
      'unprocessable',
      'TRIAL_WITHOUT_END',
      'A trial ends by the clock: send `endsAt`, or another `kind`.',
      '/endsAt',
    );
  }
  if (terms.status === 'canceled' && terms.endsAt === null) {
    throw refuse(
      'unprocessable',
      'CANCELED_WITHOUT_END',
      'A canceled license keeps its rights to its end: send `endsAt`, or the status `ended` to take them away now.',
      '/endsAt',
    );
  }
  if (terms.graceEndsAt !== null && terms.graceEndsAt < terms.startsAt) {
    throw refuse(
      'unprocessable',
      'SPAN_EMPTY',
      'The grace of a payment that is due cannot end before the license starts.',
      '/graceEndsAt',
    );
  }
}

async function readPlan(
  items: PublishedItems,
  body: Pick<LicensePatch, 'plan' | 'planVersion' | 'sku'>,
  before: LicenseTerms | null,
): Promise<NamedPlan> {
  const sold = typeof body.sku === 'string' ? await readSku(items, body.sku) : null;
  if (sold !== null && body.plan !== undefined && body.plan !== sold.plan) {
    throw contradiction(`the plan \`${body.plan}\``, `\`${sold.plan}\``, '/plan');
  }
  const plan = body.plan ?? sold?.plan ?? before?.plan;
  if (plan === undefined) {
    throw refuse('invalid', 'PLAN_MISSING', 'Name the `plan`, or a `sku` that names it.', '/plan');
  }
  if (sold?.version !== undefined && body.planVersion !== undefined && body.planVersion !== sold.version) {
    throw contradiction(`version ${body.planVersion}`, `version ${sold.version}`, '/planVersion');
  }
  const same = before !== null && plan === before.plan;
  const wanted = body.planVersion ?? sold?.version ?? (same ? before.planVersion : undefined);
  const planVersion = await readVersion(items, plan, wanted, same && wanted === before.planVersion);
  // The billing key of another plan would tell rules something that is not so any more.
  const kept = same && planVersion === before.planVersion ? before.sku : null;
  return { plan, planVersion, sku: body.sku === undefined ? kept : body.sku };
}

function contradiction(named: string, inSku: string, pointer: string) {
  return refuse(
    'unprocessable',
    'SKU_CONTRADICTS_PLAN',
    `The \`sku\` names ${inSku}, and the body names ${named}. Send one of them, or let them agree.`,
    pointer,
  );
}

async function readSku(
  items: PublishedItems,
  sku: string,
): Promise<{ readonly plan: string; readonly version: number | undefined }> {
  const pattern = readSkuPattern((await items.product())?.sku ?? '');
  if (!pattern.ok) {
    throw refuse(
      'unprocessable',
      'SKU_PATTERN_MISSING',
      'The product declares no `sku` pattern, so a billing key cannot be read. Name the `plan`, or declare the pattern in the catalog.',
      '/sku',
    );
  }
  const parts = splitSku(pattern, sku);
  if (parts === null) {
    throw refuse(
      'unprocessable',
      'SKU_NOT_OF_PATTERN',
      `\`${sku}\` is not of the pattern that the product declares for its billing keys.`,
      '/sku',
    );
  }
  const version = parts.version;
  return {
    plan: String(parts[pattern.planPart]),
    version: typeof version === 'number' ? version : undefined,
  };
}

export async function readVersion(
  items: PublishedItems,
  plan: string,
  wanted: number | undefined,
  isKept: boolean,
): Promise<number> {
  // A license keeps its plan version for ever (P-8), whatever the catalog sells today.
  if (isKept && wanted !== undefined) return wanted;
  const versions = await items.versionsOf('plan', plan);
  if (versions.length === 0) {
    throw unknownName('PLAN_UNKNOWN', 'plan', plan, await items.keysOf('plan'), '/plan');
  }
  const names = versions.map((version) => version.version ?? 0);
  if (wanted !== undefined) {
    if (names.includes(wanted)) return wanted;
    throw refuse(
      'unprocessable',
      'PLAN_VERSION_UNKNOWN',
      `The catalog that is published to this environment has no \`${versionedKey(plan, wanted)}\`. It has ${listed(plan, names)}.`,
      '/planVersion',
      String(names.at(-1)),
    );
  }
  const offered = versions.filter((version: Plan) => version.offered !== false).at(-1);
  if (offered === undefined) {
    throw refuse(
      'unprocessable',
      'PLAN_NOT_OFFERED',
      `No version of \`${plan}\` is offered any more. Name one by \`planVersion\` to give it all the same: ${listed(plan, names)}.`,
      '/planVersion',
    );
  }
  return offered.version ?? 0;
}

function listed(key: string, versions: readonly number[]): string {
  return versions.map((version) => `\`${versionedKey(key, version)}\``).join(', ');
}

type NamedAddon = { readonly addon: string; readonly version?: number; readonly quantity?: number };

export async function readAddons(
  items: PublishedItems,
  named: readonly NamedAddon[],
  plan: string,
): Promise<LicenseAddon[]> {
  const addons: LicenseAddon[] = [];
  for (const [index, one] of named.entries()) {
    const pointer = `/addons/${index}`;
    if (named.findIndex((other) => other.addon === one.addon) !== index) {
      throw refuse(
        'unprocessable',
        'ADDON_TWICE',
        `The add-on \`${one.addon}\` stands twice. Send it once, with the sum as its \`quantity\`.`,
        `${pointer}/addon`,
      );
    }
    const document = await readAddon(items, one, pointer);
    const quantity = one.quantity ?? 1;
    checkAddon(document, plan, quantity, pointer);
    addons.push({ addon: one.addon, version: document.version ?? 0, quantity });
  }
  return addons;
}

async function readAddon(items: PublishedItems, named: NamedAddon, pointer: string): Promise<Addon> {
  const versions = await items.versionsOf('addon', named.addon);
  if (versions.length === 0) {
    const known = await items.keysOf('addon');
    throw unknownName('ADDON_UNKNOWN', 'add-on', named.addon, known, `${pointer}/addon`);
  }
  const document =
    named.version === undefined
      ? versions.filter((version: Addon) => version.offered !== false).at(-1)
      : versions.find((version: Addon) => (version.version ?? 0) === named.version);
  if (document === undefined) {
    const names = listed(
      named.addon,
      versions.map((version: Addon) => version.version ?? 0),
    );
    throw refuse(
      'unprocessable',
      'ADDON_VERSION_UNKNOWN',
      `That version of the add-on \`${named.addon}\` does not exist, or none is offered. The catalog has ${names}.`,
      `${pointer}/version`,
    );
  }
  return document;
}

function checkAddon(addon: Addon, plan: string, quantity: number, pointer: string): void {
  if (addon.plans !== undefined && !addon.plans.includes(plan)) {
    throw refuse(
      'unprocessable',
      'ADDON_NOT_FOR_PLAN',
      `The add-on \`${addon.key}\` is sold with ${addon.plans.map((one) => `\`${one}\``).join(', ')}, not with \`${plan}\`. Send \`addons\` without it, or another plan.`,
      `${pointer}/addon`,
    );
  }
  if (addon.maxQuantity !== undefined && quantity > addon.maxQuantity) {
    throw refuse(
      'unprocessable',
      'ADDON_QUANTITY',
      `The add-on \`${addon.key}\` can be had at most ${addon.maxQuantity} times, and this is ${quantity}.`,
      `${pointer}/quantity`,
    );
  }
}

/** The original anchor of every period of the license (law 9), stored once: what was sent, else its start on the clocks of its zone. */
export function readAnchor(text: string | undefined, startsAt: Instant, timeZone: string): string {
  if (text === undefined) return anchorAt(startsAt, timeZone);
  const anchor = parseAnchor(text);
  if (anchor === null) {
    throw refuse(
      'unprocessable',
      'ANCHOR_INVALID',
      `\`${text}\` is not an anchor. Write it like \`2027-01-31T10:00:00[Europe/Berlin]\`.`,
      '/anchor',
    );
  }
  return text.includes('[') ? text : anchorAt(anchor.instant, timeZone);
}
