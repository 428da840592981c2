import { readFileSync } from 'node:fs';
import { parseCatalog } from '@pennon/engine/catalog/parse-catalog';
import type { Catalog, EntitlementValue } from '@pennon/engine/model/catalog';
import type { CustomerState, GrantEffect, LicenseKind, LicenseStatus } from '@pennon/engine/model/customer';
import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import type { JsonObject, JsonValue } from '@pennon/engine/model/json';
import { compileSnapshot } from '@pennon/engine/snapshot/compile-snapshot';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import { namedParts } from '@pennon/engine/subject/named-parts';
import { type Credential, resolveSubject } from '@pennon/engine/subject/resolve-subject';

/* Reads the cases of `conformance/` (its README has the format) and builds the engine's arguments from them. */

interface CaseSpan {
  readonly startsAt?: string;
  readonly endsAt?: string;
}

/** An amount besides what a period allows, made in the order in which they stand. */
export interface CaseLot extends CaseSpan {
  readonly as: string;
  readonly feature: string;
  readonly amount: number;
  readonly kind?: 'promotional' | 'topup';
  readonly priority?: number;
}

export interface CaseCustomer {
  readonly key: string;
  readonly registered?: boolean;
  readonly createdAt?: string;
  readonly timeZone?: string;
  readonly attributes?: JsonObject;
  readonly users?: readonly string[];
  readonly instances?: readonly { readonly key: string; readonly metadata?: JsonObject }[];
  readonly licenses?: readonly (CaseSpan & {
    readonly id?: string;
    readonly plan: string;
    readonly version: number;
    readonly kind?: LicenseKind;
    readonly status?: LicenseStatus;
    readonly graceEndsAt?: string;
    readonly sku?: string;
    readonly addons?: readonly {
      readonly addon: string;
      readonly version: number;
      readonly quantity: number;
    }[];
    readonly earlier?: readonly { readonly plan: string; readonly version: number; readonly until: string }[];
    readonly next?: {
      readonly plan: string;
      readonly version: number;
      readonly at: string;
      readonly anchor: string;
    };
  })[];
  readonly groups?: readonly (CaseSpan & { readonly group: string })[];
  readonly memberships?: readonly (CaseSpan & {
    readonly segment: string;
    readonly member: { readonly kind: 'customer' | 'team' | 'user' | 'instance'; readonly key: string };
  })[];
  readonly grants?: readonly (CaseSpan & {
    readonly id?: string;
    readonly kind?: 'demo' | 'voucher';
    readonly target: {
      readonly kind: 'user' | 'instance' | 'customer' | 'group' | 'segment';
      readonly key: string;
    };
    readonly effect: GrantEffect;
  })[];
  readonly usage?: readonly {
    readonly feature: string;
    readonly scope?: string;
    readonly used: number;
    readonly reserved?: number;
    readonly periodStart?: string;
  }[];
  readonly lots?: readonly CaseLot[];
}

export interface CaseExpectation {
  readonly [member: string]: JsonValue;
}

export interface Case {
  readonly name: string;
  readonly catalog: string;
  readonly environment?: string;
  readonly now: string;
  readonly credential?: Credential;
  readonly customer?: CaseCustomer;
  readonly context: JsonValue;
  readonly ask: {
    readonly flag?: string;
    readonly entitlement?: string;
    readonly amount?: number;
    readonly bucket?: { readonly seed: string; readonly value: JsonValue; readonly total: number };
    readonly period?: { readonly anchor: string; readonly reset: JsonObject | 'never' };
  };
  readonly expect: CaseExpectation | null;
  readonly steps?: readonly {
    readonly consume?: {
      readonly key?: string;
      readonly amount?: number;
      readonly mode?: 'all' | 'upTo';
      readonly attributes?: JsonObject;
      readonly items?: readonly { readonly key: string; readonly amount: number }[];
    };
    readonly release?: { readonly key: string; readonly amount: number };
    readonly reserve?: {
      readonly key: string;
      readonly amount?: number;
      readonly mode?: 'all' | 'upTo';
      readonly as: string;
    };
    readonly settle?: { readonly of: string; readonly amount?: number };
    readonly releaseHold?: { readonly of: string };
    readonly topUp?: CaseLot;
    readonly void?: { readonly of: string; readonly key: string };
    /** From here on it is that instant; what `key` reads as then. */
    readonly at?: string;
    readonly key?: string;
    readonly expect: CaseExpectation;
  }[];
}

const ROOT = new URL('../../../conformance/', import.meta.url);

export function readCases(suite: string): readonly Case[] {
  const file = JSON.parse(readFileSync(new URL(`${suite}.json`, ROOT), 'utf8')) as { cases: readonly Case[] };
  return file.cases;
}

const catalogs = new Map<string, Catalog>();

export function catalogNamed(name: string): Catalog {
  const known = catalogs.get(name);
  if (known !== undefined) return known;
  const text = readFileSync(new URL(`catalogs/${name}.yaml`, ROOT), 'utf8');
  const { catalog, issues } = parseCatalog([{ name: `${name}.yaml`, text }]);
  if (catalog === null) throw new Error(JSON.stringify(issues));
  catalogs.set(name, catalog);
  return catalog;
}

const snapshots = new Map<string, Snapshot>();

export function snapshotNamed(catalogName: string, environment: string): Snapshot {
  const id = `${catalogName} ${environment}`;
  const known = snapshots.get(id);
  if (known !== undefined) return known;
  const catalog = catalogNamed(catalogName);
  const { snapshot } = compileSnapshot({ catalog, environment, revision: 1, productId: catalogName });
  snapshots.set(id, snapshot);
  return snapshot;
}

/** What a case leaves out began long ago and does not end. */
const BEGINNING = '2026-01-31T10:00:00Z';

function spanOf({ startsAt, endsAt }: CaseSpan): { startsAt: number; endsAt: number | null } {
  return {
    startsAt: Date.parse(startsAt ?? BEGINNING),
    endsAt: endsAt === undefined ? null : Date.parse(endsAt),
  };
}

/** Usage that names no period belongs to the current one: the engine counts what is not older. */
const CURRENT = '2999-01-01T00:00:00Z';

export function stateOf(customer: CaseCustomer, snapshot: Snapshot): CustomerState {
  const product = snapshot.productKey;
  return {
    id: customer.registered === false ? null : `id-${customer.key}`,
    key: customer.key,
    version: 1,
    createdAt: customer.registered === false ? null : Date.parse(customer.createdAt ?? BEGINNING),
    timeZone: customer.timeZone ?? null,
    attributes: customer.attributes ?? {},
    licenses: (customer.licenses ?? []).map((license, index) => ({
      id: license.id ?? `license-${index + 1}`,
      product,
      plan: license.plan,
      planVersion: license.version,
      quantity: 1,
      kind: license.kind ?? 'paid',
      status: license.status ?? 'active',
      graceEndsAt: license.graceEndsAt === undefined ? null : Date.parse(license.graceEndsAt),
      anchor: `${(license.startsAt ?? BEGINNING).replace('Z', '')}[UTC]`,
      timeZone: null,
      sku: license.sku ?? null,
      addons: license.addons ?? [],
      earlier: (license.earlier ?? []).map(({ plan, version, until }) => ({
        plan,
        planVersion: version,
        until: Date.parse(until),
      })),
      next:
        license.next === undefined
          ? null
          : {
              plan: license.next.plan,
              planVersion: license.next.version,
              at: Date.parse(license.next.at),
              anchor: license.next.anchor,
              sku: null,
            },
      ...spanOf(license),
    })),
    groups: (customer.groups ?? []).map((one) => ({ group: one.group, ...spanOf(one) })),
    memberships: (customer.memberships ?? []).map((one) => ({
      segment: one.segment,
      member: one.member,
      ...spanOf(one),
    })),
    grants: (customer.grants ?? []).map((one, index) => ({
      id: one.id ?? `grant-${index + 1}`,
      product,
      target: one.target,
      kind: one.kind ?? 'demo',
      effect: one.effect,
      ...spanOf(one),
    })),
    accounts: (customer.usage ?? []).map((one) => ({
      feature: one.feature,
      scope: one.scope ?? '',
      periodStart: Date.parse(one.periodStart ?? CURRENT),
      used: one.used,
      reserved: one.reserved ?? 0,
    })),
  };
}

export type CaseRequest =
  | { readonly ok: true; readonly request: EvaluationRequest<Snapshot> }
  | { readonly ok: false; readonly code: 'INVALID_CONTEXT'; readonly message: string };

export function requestOf(one: Case): CaseRequest {
  const snapshot = snapshotNamed(one.catalog, one.environment ?? 'production');
  const read = namedParts(one.context);
  if (!read.ok) return read;
  const known = one.customer?.registered === false ? undefined : one.customer;
  const found = known?.instances?.find(({ key }) => key === read.named.instanceRef);
  const resolved = resolveSubject({
    credential: one.credential ?? 'server',
    context: read.context,
    named: read.named,
    lookup: {
      customers: new Set(known === undefined ? [] : [known.key]),
      instance:
        known === undefined || found === undefined
          ? null
          : { id: `id-${found.key}`, key: found.key, customerKey: known.key, metadata: found.metadata ?? {} },
      customersOfUsers: new Map((known?.users ?? []).map((user) => [user, [known?.key ?? '']])),
    },
  });
  if (!resolved.ok) return resolved;
  const { subject, context } = resolved;
  const stated = one.customer?.key === subject.customerKey ? one.customer : undefined;
  const state =
    subject.customerKey === null
      ? null
      : stateOf(stated ?? { key: subject.customerKey, registered: false }, snapshot);
  return { ok: true, request: { snapshot, customer: state, subject, context, now: Date.parse(one.now) } };
}

export function instantText(instant: number | null): string | null {
  return instant === null ? null : new Date(instant).toISOString();
}

export function limitValue(
  limit: { readonly kind: 'unlimited' } | { readonly kind: 'finite'; readonly value: number } | null,
): EntitlementValue | null {
  if (limit === null) return null;
  return limit.kind === 'unlimited' ? 'unlimited' : limit.value;
}
