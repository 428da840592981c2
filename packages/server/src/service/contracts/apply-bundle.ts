import type { GrantEffect, GrantKind, Instant } from '@pennon/engine/model/customer';
import type { ApiBundleApplication, BundleApply } from '@pennon/protocol/management/bundles';
import { fromInstant, fromInstantOrNull } from '../../store/instant.js';
import type { ChangeContext, Credential } from '../credential.js';
import { newId } from '../new-id.js';
import { ServiceError } from '../service-error.js';
import { fromTime, toTimeOrNull } from '../times.js';
import { findRunning, recordApplication } from './bundle-applications.js';
import { type ApplicationRow, type BundleRow, effectsOf } from './bundle-record.js';
import { type BundleName, type BundleScope, bundleNotFound, bundleScope, findBundle } from './bundles.js';
import { type Changed, changeData, type DataChange } from './data-change.js';
import { readEffect } from './grant-effect.js';
import {
  checkTerms,
  daysAfter,
  type GrantServices,
  type GrantTarget,
  type GrantTerms,
  makeGrants,
  readTarget,
} from './make-grants.js';
import { PublishedItems } from './published-items.js';
import { refuse, timeOr } from './refusals.js';
import { touchTarget } from './touch-target.js';

/** Grants everything that a bundle holds to one target, all or nothing, as one thing that can be taken back in one call. */
export async function applyBundle(
  services: GrantServices,
  credential: Credential,
  context: ChangeContext,
  named: BundleName,
  body: BundleApply,
): Promise<Changed<ApiBundleApplication>> {
  const scope = bundleScope(services, credential, named);
  return changeData(services, context, scope.environment.id, async (change) => {
    const { transaction } = change;
    if ((await findBundle(transaction, scope, named.bundle, false)) === null) {
      throw bundleNotFound(named.bundle);
    }
    const items = await PublishedItems.open(transaction, scope.product, scope.environment);
    // Locked, so that of two calls at once the second one sees the application of the first.
    const bundle = await findBundle(transaction, scope, named.bundle, true);
    if (bundle === null) throw bundleNotFound(named.bundle);
    const terms = readTerms(bundle, body, change.now);
    const target = await readTarget(services, change, items, body.target, scope);
    if (body.again !== true) await checkNotRunning(change, scope, bundle, target);
    const effects = await readEffects(items, bundle, target);
    const application = await insert(change, scope, bundle, target, terms, body);
    const rows = await makeGrants(
      services,
      change,
      scope.product,
      effects.map((effect) => ({
        ...terms,
        target,
        effect,
        reason: body.reason,
        owner: application.owner,
        source: application.source,
        applicationId: application.id,
      })),
    );
    await touchTarget(change, target);
    const item = await recordApplication(change, application, scope.product, rows, 'bundle.apply');
    return { item, created: true };
  });
}

function readTerms(bundle: BundleRow, body: BundleApply, now: Instant): GrantTerms {
  const kind = bundle.kind as GrantKind;
  const startsAt = body.startsAt === undefined ? now : fromTime(body.startsAt, '/startsAt');
  if (body.days !== undefined && body.endsAt !== undefined) throw endTwice();
  const days = body.days ?? bundle.days;
  const byDays = days === null ? null : daysAfter(startsAt, days);
  const terms = {
    kind,
    startsAt,
    endsAt: timeOr(body.endsAt, '/endsAt', byDays),
    contractReference: body.contractReference ?? null,
  };
  checkTerms(terms, 'An application', body.days === undefined ? '/endsAt' : '/days');
  return terms;
}

function endTwice(): ServiceError {
  return refuse('invalid', 'END_TWICE', 'Send `days` or `endsAt`, not both.', '/days');
}

async function checkNotRunning(
  change: DataChange,
  scope: BundleScope,
  bundle: BundleRow,
  target: GrantTarget,
): Promise<void> {
  const running = await findRunning(change, scope, bundle.key, target);
  if (running === null) return;
  const until = running.ends_at === null ? 'has no end' : `ends at ${running.ends_at.toISOString()}`;
  throw new ServiceError(
    'conflict',
    'BUNDLE_APPLIED',
    `The bundle \`${bundle.key}\` is applied to the ${target.kind} \`${target.key}\` already, by \`${running.id}\`, which ${until}. Extend that one, revoke it, or send \`again: true\` to apply it once more beside it.`,
    { details: { application: running.id, endsAt: toTimeOrNull(running.ends_at?.getTime() ?? null) } },
  );
}

/** The catalog may have moved on since the bundle was written: what does not fit any more is named, and nothing is granted. */
async function readEffects(
  items: PublishedItems,
  bundle: BundleRow,
  target: GrantTarget,
): Promise<GrantEffect[]> {
  const read: GrantEffect[] = [];
  for (const [index, effect] of effectsOf(bundle).entries()) {
    try {
      read.push(await readEffect(items, effect, target.kind, `/effects/${index}`));
    } catch (error) {
      throw error instanceof ServiceError ? doesNotFit(error, bundle, index) : error;
    }
  }
  return read;
}

function doesNotFit(cause: ServiceError, bundle: BundleRow, index: number): ServiceError {
  return new ServiceError(
    'unprocessable',
    'BUNDLE_EFFECT_REFUSED',
    `The effect ${index} of the bundle \`${bundle.key}\` cannot be granted here, so nothing was: ${cause.message}`,
    { items: cause.items, cause },
  );
}

async function insert(
  change: DataChange,
  { environment, product }: BundleScope,
  bundle: BundleRow,
  target: GrantTarget,
  terms: GrantTerms,
  body: BundleApply,
): Promise<ApplicationRow> {
  return change.transaction
    .insertInto('bundle_application')
    .values({
      id: newId(),
      environment_id: environment.id,
      product_id: product.id,
      bundle_key: bundle.key,
      bundle_version: bundle.version,
      target_kind: target.kind,
      target_key: target.key,
      kind: terms.kind,
      starts_at: fromInstant(terms.startsAt),
      ends_at: fromInstantOrNull(terms.endsAt),
      reason: body.reason,
      owner: body.owner === undefined ? bundle.owner : body.owner,
      contract_reference: terms.contractReference,
      source: body.source === undefined ? `bundle:${bundle.key}` : body.source,
      revoked_at: null,
      revoke_reason: null,
      version: 1,
      created_at: fromInstant(change.now),
    })
    .returningAll()
    .executeTakeFirstOrThrow();
}
