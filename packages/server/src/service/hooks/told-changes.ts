import type { Instant } from '@pennon/engine/model/customer';
import { isJsonObject, type JsonObject } from '@pennon/engine/model/json';
import type { HookEventType } from '@pennon/protocol/webhooks/events';
import type { AuditChange } from '../ports.js';
import { toTime } from '../times.js';

/* What a change of an environment's data tells, worked out from its audit entries: what is audited is what is told. */

export interface ChangeEntry
  extends Pick<AuditChange, 'action' | 'productId' | 'objectKind' | 'objectId' | 'after'> {
  /** Of an object that is there no longer: what it was. */
  readonly removed?: JsonObject;
}

/** Whose it is; the customers of a user or an instance are found by whoever writes it. */
export interface ToldOwner {
  readonly kind: string;
  readonly key: string;
}

export interface ToldChange {
  readonly type: HookEventType;
  readonly productId: string | null;
  readonly subject: string;
  /** `null`: of no single customer. */
  readonly owner: ToldOwner | null;
  readonly data: JsonObject;
}

type Kind = 'license' | 'grant' | 'membership' | 'redemption' | 'top-up';
type Teller = (entry: ChangeEntry, object: JsonObject, now: Instant) => readonly ToldChange[];

const TELLERS: Readonly<Record<Kind, Teller>> = {
  license: (entry, license, now) => {
    const owner = customerOf(license);
    return [
      told(entry, 'license.changed', owner, { license }),
      ...planChange(license, now).map((data) => told(entry, 'plan.changed', owner, data)),
    ];
  },
  grant: (entry, grant) => [told(entry, 'grant.changed', ownerIn(grant.target), { grant })],
  membership: (entry, membership) => [
    told(entry, 'membership.changed', ownerIn(membership.member), { membership, id: entry.objectId }),
  ],
  // What had been used names accounts of users, which nothing that is kept may; the redemption itself says it to whoever asks.
  redemption: (entry, { kept: _, ...redemption }) => [
    told(entry, 'voucher.changed', customerOf(redemption), { redemption }),
  ],
  'top-up': (entry, topUp) => [told(entry, 'top-up.changed', customerOf(topUp), { topUp })],
};

/** Of other kinds of objects nothing is told. */
export function tellChanges(entries: readonly ChangeEntry[], now: Instant): readonly ToldChange[] {
  return entries.flatMap((entry) => {
    const object = entry.after ?? entry.removed ?? null;
    return object !== null && isKind(entry.objectKind) ? TELLERS[entry.objectKind](entry, object, now) : [];
  });
}

function isKind(kind: string): kind is Kind {
  return Object.hasOwn(TELLERS, kind);
}

function told(
  { action, productId, objectKind, objectId }: ChangeEntry,
  type: HookEventType,
  owner: ToldOwner | null,
  data: JsonObject,
): ToldChange {
  return { type, productId, subject: `${objectKind}/${objectId}`, owner, data: { action, ...data } };
}

function customerOf({ customer }: JsonObject): ToldOwner | null {
  return typeof customer === 'string' ? { kind: 'customer', key: customer } : null;
}

function ownerIn(target: JsonObject[string] | undefined): ToldOwner | null {
  if (!isJsonObject(target)) return null;
  const { kind, key } = target;
  return typeof kind === 'string' && typeof key === 'string' ? { kind, key } : null;
}

/** The plan before is the last of the earlier ones where it ended in this very change. */
function planChange(license: JsonObject, now: Instant): readonly JsonObject[] {
  const earlier = Array.isArray(license.earlierPlans) ? license.earlierPlans.at(-1) : undefined;
  if (!isJsonObject(earlier) || earlier.until !== toTime(now)) return [];
  const { id, plan, planVersion } = license;
  if (id === undefined || plan === undefined || planVersion === undefined) return [];
  return [
    {
      license: id,
      before: { plan: earlier.plan ?? null, planVersion: earlier.planVersion ?? null },
      after: { plan, planVersion },
    },
  ];
}
