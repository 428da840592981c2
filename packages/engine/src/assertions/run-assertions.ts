import { resolveEntitlement } from '../entitlement/resolve-entitlement.js';
import { evaluateFlag } from '../flag/evaluate-flag.js';
import type { Catalog, CatalogAssertion } from '../model/catalog.js';
import type { EvaluationContext, SubjectInstance } from '../model/context.js';
import type { CustomerState, Instant, License } from '../model/customer.js';
import type { EvaluationRequest } from '../model/evaluation.js';
import { isJsonObject, type JsonObject, type JsonValue } from '../model/json.js';
import { compileSnapshot } from '../snapshot/compile-snapshot.js';
import type { Snapshot } from '../snapshot/snapshot.js';
import { namedParts } from '../subject/named-parts.js';

/*
 * The catalog's own assertions (X-7, C-9): asked of the same decisions that answer in production, for a customer made of what is
 * given. Nothing here decides.
 */

export interface AssertionFailure {
  readonly key: string;
  readonly expected: JsonValue;
  readonly actual: JsonValue;
  /** A whole sentence with the key in backticks. */
  readonly message: string;
}

export interface AssertionResult {
  readonly name: string;
  readonly failures: readonly AssertionFailure[];
}

/** `now` is the instant of assertions that name none with `at`. */
export function runAssertions(
  catalog: Catalog,
  options: { readonly now: Instant; readonly snapshotOf?: (environment: string) => Snapshot },
): readonly AssertionResult[] {
  const snapshots = new Map<string, Snapshot>();
  const snapshotOf = (environment: string): Snapshot => {
    const known = snapshots.get(environment);
    if (known !== undefined) return known;
    const snapshot =
      options.snapshotOf?.(environment) ??
      compileSnapshot({ catalog, environment, revision: 0, productId: '' }).snapshot;
    snapshots.set(environment, snapshot);
    return snapshot;
  };
  return catalog.tests.map((assertion) => runAssertion(catalog, assertion, options.now, snapshotOf));
}

function runAssertion(
  catalog: Catalog,
  assertion: CatalogAssertion,
  realNow: Instant,
  snapshotOf: (environment: string) => Snapshot,
): AssertionResult {
  const { plan, at, environment, ...parts } = assertion.given;
  const now = at === undefined ? realNow : Date.parse(at);
  const read = namedParts(parts);
  if (!read.ok) return { name: assertion.name, failures: [failureOf('given', null, null, read.message)] };
  const customerKey = read.named.customerKey ?? read.named.teamKey ?? read.named.targetingKey ?? 'assertion';
  const request: EvaluationRequest<Snapshot> = {
    snapshot: snapshotOf(environment ?? 'production'),
    customer: { ...customerWith(catalog, customerKey, plan, now), attributes: attributesOf(read.context) },
    subject: {
      proven: true,
      customerKey,
      instance: instanceOf(read.named.instanceRef, read.context),
      userKey: read.named.userKey,
      teamKey: read.named.teamKey,
      sku: null,
    },
    context: read.context,
    now,
  };
  const features = new Set(catalog.features.map((feature) => feature.key));
  const failures: AssertionFailure[] = [];
  for (const [key, expected] of Object.entries(assertion.expect)) {
    const actual = features.has(key) ? entitlementValue(request, key) : flagValue(request, key);
    if (!equal(actual, expected)) {
      failures.push(
        failureOf(
          key,
          expected,
          actual,
          `\`${key}\` is ${JSON.stringify(actual)}, expected ${JSON.stringify(expected)}`,
        ),
      );
    }
  }
  return { name: assertion.name, failures };
}

function failureOf(key: string, expected: JsonValue, actual: JsonValue, message: string): AssertionFailure {
  return { key, expected, actual, message };
}

/** What an assertion says of its customer is what the server would know of it, flat or under `attributes`. */
function attributesOf({ parts }: EvaluationContext): JsonObject {
  const given = parts['customer'];
  if (!isJsonObject(given)) return {};
  const { key: _, attributes, ...flat } = given;
  return isJsonObject(attributes) ? { ...flat, ...attributes } : flat;
}

function instanceOf(key: string | null, { parts }: EvaluationContext): SubjectInstance | null {
  if (key === null) return null;
  const given = parts['instance'];
  const metadata = isJsonObject(given) ? given['metadata'] : undefined;
  return { key, id: null, metadata: isJsonObject(metadata) ? metadata : {} };
}

/** A customer with that plan from before `now`; `pro` means its highest version, `pro@0` that version. */
function customerWith(catalog: Catalog, key: string, plan: string | undefined, now: Instant): CustomerState {
  return {
    id: key,
    key,
    version: 0,
    createdAt: now - 1,
    timeZone: null,
    attributes: {},
    licenses: plan === undefined ? [] : [licenseTo(catalog, plan, now)],
    groups: [],
    memberships: [],
    grants: [],
    accounts: [],
  };
}

function licenseTo(catalog: Catalog, named: string, now: Instant): License {
  const [key = named, version] = named.split('@');
  const versions = catalog.plans.filter((plan) => plan.key === key).map((plan) => plan.version ?? 0);
  return {
    id: 'assertion',
    product: catalog.product?.key ?? '',
    plan: key,
    planVersion: version === undefined ? Math.max(0, ...versions) : Number(version),
    quantity: 1,
    kind: 'paid',
    status: 'active',
    startsAt: now - 1,
    endsAt: null,
    graceEndsAt: null,
    anchor: `${new Date(now - 1).toISOString().slice(0, -1)}[UTC]`,
    timeZone: null,
    sku: null,
    addons: [],
  };
}

function flagValue(request: EvaluationRequest<Snapshot>, key: string): JsonValue {
  const decision = evaluateFlag(request, key);
  return decision.kind === 'error' ? decision.errorCode : decision.value;
}

function entitlementValue(request: EvaluationRequest<Snapshot>, key: string): JsonValue {
  const decision = resolveEntitlement(request, key);
  if (decision.kind !== 'entitlement') return decision.errorCode;
  if (decision.limit === null) return decision.value;
  return decision.limit.kind === 'unlimited' ? 'unlimited' : decision.limit.value;
}

function equal(left: JsonValue, right: JsonValue): boolean {
  if (Array.isArray(left) && Array.isArray(right)) {
    return left.length === right.length && left.every((item, index) => equal(item, right[index] ?? null));
  }
  if (isJsonObject(left) && isJsonObject(right)) {
    const keys = Object.keys(left);
    return (
      keys.length === Object.keys(right).length &&
      keys.every((key) => Object.hasOwn(right, key) && equal(left[key] ?? null, right[key] ?? null))
    );
  }
  return left === right;
}
