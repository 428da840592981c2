import { createHash } from 'node:crypto';
import { canonicalJson } from '@pennon/engine/catalog/canonical-json';
import { aboutCustomer } from '@pennon/engine/entitlement/customer-condition';
import { resolveAllEntitlements } from '@pennon/engine/entitlement/resolve-entitlement';
import { licenseEdge, nextEdge, untilOf } from '@pennon/engine/evaluation/edges';
import type { CustomerState, Instant } from '@pennon/engine/model/customer';
import type { EntitlementDecision } from '@pennon/engine/model/decision';
import { isJsonObject, type JsonObject } from '@pennon/engine/model/json';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import { toEntitlementGiven, toEntitlementState, toHeld } from '@pennon/protocol/webhooks/states';
import type { ToldChange } from './told-changes.js';

/* What a customer has and may do at an instant, and what of it is another than what was told last. Pure. */

export interface WorkedOut {
  readonly customerKey: string;
  readonly customerVersion: number;
  readonly revision: number;
  /** Of each feature, by its key. */
  readonly entitlements: JsonObject;
  readonly whole: JsonObject;
  /** Of all of it, but for what use alone moves. */
  readonly digest: string;
  /** When time alone may change it. */
  readonly nextAt: Instant | null;
}

export function workOut(snapshot: Snapshot, state: CustomerState, now: Instant): WorkedOut {
  const results = resolveAllEntitlements(aboutCustomer(snapshot, state, now));
  const decisions = results.filter((one): one is EntitlementDecision => one.kind === 'entitlement');
  const held = toHeld(state, now);
  const entitlements = Object.fromEntries(
    decisions.map((decision) => [decision.key, toEntitlementGiven(decision)]),
  );
  const sources = decisions.map((decision) => decision.sources as unknown as JsonObject[]);
  return {
    customerKey: state.key,
    customerVersion: state.version,
    revision: snapshot.revision,
    entitlements,
    whole: { ...held, entitlements: decisions.map(toEntitlementState) },
    digest: createHash('sha256').update(canonicalJson({ held, entitlements, sources })).digest('base64'),
    nextAt: nextOf(
      state,
      now,
      results.map((one) => one.validUntil),
    ),
  };
}

function nextOf(state: CustomerState, now: Instant, validUntil: readonly (Instant | null)[]): Instant | null {
  const edges = [
    ...validUntil.flatMap((instant) => (instant === null ? [] : [instant])),
    ...state.licenses.map((license) => licenseEdge(license, now)),
    ...state.licenses.map((license) => nextEdge(license, now)),
    ...[...state.groups, ...state.memberships, ...state.grants].map((span) => nextEdge(span, now)),
  ];
  // What is said to change at once changes no sooner than it is looked at again.
  return untilOf(edges.reduce((first, edge) => Math.min(first, Math.max(edge, now + 1)), Infinity));
}

/** @param before `null`: nothing was known of it */
export function changedEntitlements(
  productId: string,
  before: JsonObject | null,
  worked: WorkedOut,
): readonly ToldChange[] {
  const after = worked.entitlements;
  const keys = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after)])].sort();
  return keys.flatMap((feature) => {
    const [earlier, later] = [memberOf(before, feature), memberOf(after, feature)];
    if (isNothing(earlier) && isNothing(later) && (earlier === null || later === null)) return [];
    if (earlier !== null && later !== null && canonicalJson(earlier) === canonicalJson(later)) return [];
    const data = { ...stampOf(worked), feature, before: earlier, after: later };
    return [toldOf('entitlement.changed', productId, `feature/${feature}`, worked, data)];
  });
}

export function changedState(productId: string, customerId: string, worked: WorkedOut): ToldChange {
  const data = { ...stampOf(worked), ...worked.whole };
  return toldOf('customer.state_changed', productId, `customer/${customerId}`, worked, data);
}

function stampOf({ customerVersion, revision }: WorkedOut): JsonObject {
  return { customerVersion, revision };
}

function toldOf(
  type: ToldChange['type'],
  productId: string,
  subject: string,
  { customerKey }: WorkedOut,
  data: JsonObject,
): ToldChange {
  return { type, productId, subject, owner: { kind: 'customer', key: customerKey }, data };
}

function memberOf(object: JsonObject | null, key: string): JsonObject | null {
  const member = object !== null && Object.hasOwn(object, key) ? object[key] : null;
  return isJsonObject(member) ? member : null;
}

/** That a feature gives nothing is no news where it was not there. */
function isNothing(given: JsonObject | null): boolean {
  return given === null || (given.granted === false && given.hasAccess === false);
}
