import { setTimeout as wait } from 'node:timers/promises';
import { variantsOf } from '@pennon/engine/catalog/check-flags';
import type { Flag } from '@pennon/engine/model/catalog';
import type { JsonObject, JsonValue } from '@pennon/engine/model/json';
import type { Kysely, Transaction } from 'kysely';
import {
  findItemReferences,
  findVariantReferences,
  type ItemReferences,
} from '../store/catalog-references.js';
import {
  lockHeadRevision,
  moveEnvironment,
  readEnvironmentRevisions,
  writeItems,
  writeRevision,
} from '../store/catalog-rows.js';
import { fromInstant } from '../store/instant.js';
import type { Tables } from '../store/tables.js';
import { type Answer, commitAnswered } from './answer.js';
import type { CatalogWorkshop } from './catalog-workshop.js';
import { encodeConsistency } from './consistency.js';
import type { ChangeContext } from './credential.js';
import type { DirectoryEnvironment } from './directory.js';
import type { AuditTrail, ChangeFeed, ChangeNotice, Clock, ProductRecord } from './ports.js';
import { takeProductName } from './products/take-product-name.js';
import type { CatalogEdit, NamedItem, PlannedChange, PublishPlan } from './publish-plan.js';
import { refusalOf } from './publish-refusal.js';
import { type FaultItem, ServiceError } from './service-error.js';

export interface PublishDependencies {
  readonly database: Kysely<Tables>;
  readonly workshop: CatalogWorkshop;
  readonly audit: AuditTrail;
  readonly feed: ChangeFeed;
  readonly clock: Clock;
  readonly directory: { environments(): readonly DirectoryEnvironment[] };
}

export interface PublishInput {
  readonly product: ProductRecord;
  readonly edit: CatalogEdit;
  /** Keys or ids; `null`: all that are not protected. */
  readonly environments: readonly string[] | null;
  readonly dryRun: boolean;
  /** What the call answers, where it came by one. */
  readonly answerOf?: (result: PublishResult) => Answer | null;
}

export interface ChangedItem extends NamedItem {
  readonly change: 'added' | 'changed' | 'moved' | 'removed';
  /** The item's `ETag`; `null` when it was removed. */
  readonly hash: string | null;
  readonly document: JsonValue | null;
}

export interface PublishResult {
  readonly dryRun: boolean;
  /** The head after the publish; the head as it is when nothing changed or nothing was to be changed. */
  readonly revision: number;
  readonly changed: readonly ChangedItem[];
  /** In the words of a person. */
  readonly diff: readonly string[];
  readonly lacking: readonly NamedItem[];
  readonly warnings: readonly FaultItem[];
  /** `changed` is false where the revision decides nothing differently: that environment stays where it is. */
  readonly environments: readonly {
    readonly key: string;
    readonly revision: number | null;
    readonly changed: boolean;
  }[];
  readonly consistency: string;
}

/** Two writers that never touch the same item both get through; this many rounds of bad luck do not happen by chance. */
const ATTEMPTS = 12;

/**
 * Publishes an edit (DESIGN §5): planned and checked in the worker thread, then one short transaction under the product's lock,
 * with the audit entry and the change rows. When others moved the head meanwhile, the edit is planned again on the new one.
 */
export async function publish(
  dependencies: PublishDependencies,
  context: ChangeContext,
  input: PublishInput,
): Promise<PublishResult> {
  const all = dependencies.directory.environments();
  const move = movedEnvironments(all, input.environments);
  let fresh = false;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const plan = await dependencies.workshop.plan({
      product: { id: input.product.id, key: input.product.key },
      edit: input.edit,
      move: move.map(({ id, key }) => ({ id, key })),
      environments: all.map(({ key }) => key),
      now: dependencies.clock.now(),
      fresh,
    });
    const refusal = refusalOf(plan);
    if (refusal !== null) throw refusal;
    if (input.dryRun || plan.changes.length === 0) return preview(dependencies, input, plan, move);
    const outcome = await write(dependencies, context, input, plan, move);
    if (outcome.kind === 'written') {
      for (const notice of outcome.notices) await dependencies.feed.publishLocally(notice);
      return outcome.result;
    }
    fresh = outcome.kind === 'items-moved';
    await wait(Math.random() * 20 * attempt);
  }
  throw new ServiceError(
    'unavailable',
    'TOO_MANY_WRITERS',
    'The catalog was changed by others each time this publish was checked; nothing was published. Try again.',
    { retryAfterSeconds: 1 },
  );
}

function movedEnvironments(
  all: readonly DirectoryEnvironment[],
  named: readonly string[] | null,
): readonly DirectoryEnvironment[] {
  if (named === null) return all.filter((environment) => !environment.protected);
  return named.map((name) => {
    const found = all.find(({ id, key }) => id === name || key === name);
    if (found !== undefined) return found;
    throw new ServiceError(
      'invalid',
      'ENVIRONMENT_NOT_FOUND',
      `The environment \`${name}\` does not exist; nothing was published.`,
    );
  });
}

async function preview(
  dependencies: PublishDependencies,
  input: PublishInput,
  plan: PublishPlan,
  move: readonly DirectoryEnvironment[],
): Promise<PublishResult> {
  await refuseRemovalInUse(dependencies, dependencies.database, input.product.id, plan.changes);
  const standing = await standingOf(dependencies.database, input.product.id);
  return {
    ...resultOf(plan, input.dryRun, plan.headRevision),
    environments: move.map(({ id, key }) => {
      const row = standing.get(id);
      const hash = plan.effectiveHashes.find(({ environmentId }) => environmentId === id)?.hash;
      const changed = hash !== undefined && hash !== row?.effectiveHash;
      return { key, revision: row?.revision ?? null, changed };
    }),
    consistency: encodeConsistency({
      revisions: [...standing.values()].map(({ productId, environmentId, revision }) => ({
        productId,
        environmentId,
        revision,
      })),
    }),
  };
}

async function standingOf(database: Kysely<Tables>, productId: string) {
  const rows = await readEnvironmentRevisions(database, { productId });
  return new Map(rows.map((row) => [row.environmentId, row]));
}

interface Written {
  readonly kind: 'written';
  readonly result: PublishResult;
  readonly notices: readonly ChangeNotice[];
}

type WriteOutcome = Written | { readonly kind: 'head-moved' } | { readonly kind: 'items-moved' };

/** Rolls the transaction back and says why. */
class Abandoned extends Error {
  readonly outcome: WriteOutcome;
  constructor(outcome: WriteOutcome) {
    super('The head moved.');
    this.outcome = outcome;
  }
}

async function write(
  dependencies: PublishDependencies,
  context: ChangeContext,
  input: PublishInput,
  plan: PublishPlan,
  move: readonly DirectoryEnvironment[],
): Promise<WriteOutcome> {
  try {
    return await commitAnswered(
      dependencies.database,
      context.call,
      async (transaction) => {
        const head = await lockHeadRevision(transaction, input.product.id);
        // INVARIANT: what was checked is what is written; on any other head it is checked again first.
        if (head !== plan.headRevision) throw new Abandoned({ kind: 'head-moved' });
        await refuseRemovalInUse(dependencies, transaction, input.product.id, plan.changes);
        return writeUnderLock(dependencies, transaction, context, input, plan, move);
      },
      ({ result }) => input.answerOf?.(result) ?? null,
    );
  } catch (error) {
    if (error instanceof Abandoned) return error.outcome;
    throw error;
  }
}

async function writeUnderLock(
  dependencies: PublishDependencies,
  transaction: Transaction<Tables>,
  context: ChangeContext,
  input: PublishInput,
  plan: PublishPlan,
  move: readonly DirectoryEnvironment[],
): Promise<Written> {
  const { product } = input;
  const number = plan.headRevision + 1;
  const at = fromInstant(dependencies.clock.now());
  const missed = await writeItems(transaction, product.id, number, plan.changes);
  if (missed !== null) throw new Abandoned({ kind: 'items-moved' });
  const auditEntryId = await dependencies.audit.recordChange(transaction, context, {
    action: 'catalog.publish',
    environmentId: null,
    productId: product.id,
    objectKind: 'catalog',
    objectId: product.id,
    objectVersion: number,
    after: auditedPublish(plan, number, move),
  });
  await writeRevision(transaction, product.id, { number, auditEntryId, createdAt: at });
  await takeProductName(dependencies.audit, transaction, context, product.id, plan.changes);
  const standing = await standingOf(transaction, product.id);
  const notices: ChangeNotice[] = [];
  const environments: PublishResult['environments'][number][] = [];
  for (const { id, key } of move) {
    const before = standing.get(id);
    const hash = plan.effectiveHashes.find(({ environmentId }) => environmentId === id)?.hash ?? '';
    // What decides nothing differently concerns nobody there (DESIGN §7).
    const changed = before?.effectiveHash !== hash;
    const to = { productId: product.id, environmentId: id, revision: number };
    if (changed && (await moveEnvironment(transaction, { ...to, effectiveHash: hash, publishedAt: at }))) {
      const notice: ChangeNotice = { kind: 'revision', ...to };
      await dependencies.feed.write(transaction, notice);
      notices.push(notice);
    }
    environments.push({ key, revision: changed ? number : (before?.revision ?? null), changed });
  }
  const revisions = notices.flatMap((notice) => (notice.kind === 'revision' ? [notice] : []));
  const consistency = encodeConsistency({ revisions });
  return {
    kind: 'written',
    result: { ...resultOf(plan, false, number), environments, consistency },
    notices,
  };
}

function resultOf(plan: PublishPlan, dryRun: boolean, revision: number) {
  return {
    dryRun,
    revision,
    changed: plan.changes.map(changedItem),
    diff: plan.diff,
    lacking: plan.lacking,
    warnings: plan.warnings,
  };
}

function changedItem(change: PlannedChange): ChangedItem {
  const { kind, key, before, after, document } = change;
  const hash = after?.hash ?? null;
  const what = after === null ? 'removed' : before === null ? 'added' : before === hash ? 'moved' : 'changed';
  return { kind, key, change: what, hash, document };
}

/** The complete items after the change; the state of a catalog at any revision is the fold of its entries (DESIGN §7). */
function auditedPublish(
  plan: PublishPlan,
  revision: number,
  move: readonly DirectoryEnvironment[],
): JsonObject {
  return {
    revision,
    environments: move.map(({ key }) => key),
    items: plan.changes.map(({ kind, key, after, document }) => ({
      kind,
      key,
      hash: after?.hash ?? null,
      position: after?.position ?? null,
      document,
    })),
  };
}

function namesOf({ count, examples }: ItemReferences): string {
  const more = count > examples.length ? ` and ${count - examples.length} more` : '';
  return `${examples.join(', ')}${more}`;
}

/** Variants that a flag loses, and that something which is in force, or can still be given, serves. */
async function variantFaults(
  dependencies: PublishDependencies,
  database: Kysely<Tables>,
  productId: string,
  { kind, key, document, previous }: PlannedChange,
): Promise<readonly FaultItem[]> {
  if (kind !== 'flag' || document === null || previous === null) return [];
  const variants = Object.keys(variantsOf(document as unknown as Flag));
  const lost = Object.keys(variantsOf(previous as unknown as Flag)).filter(
    (name) => !variants.includes(name),
  );
  if (lost.length === 0) return [];
  const found = await findVariantReferences(database, productId, { key, variants }, dependencies.clock.now());
  if (found === null) return [];
  const message = `The flag \`${key}\` would lose \`${lost.join('`, `')}\`, which is given by ${namesOf(found)}; end those first, or keep the variant.`;
  return [{ code: 'STILL_IN_USE', message }];
}

async function refuseRemovalInUse(
  dependencies: PublishDependencies,
  database: Kysely<Tables>,
  productId: string,
  changes: readonly PlannedChange[],
): Promise<void> {
  const faults: FaultItem[] = [];
  for (const change of changes) {
    if (change.after !== null) {
      faults.push(...(await variantFaults(dependencies, database, productId, change)));
      continue;
    }
    const found = await findItemReferences(database, productId, change, dependencies.clock.now());
    if (found === null) continue;
    const { kind, key } = found;
    const message = `The ${kind} \`${key}\` is still named by ${namesOf(found)}; end those first, or keep it (a plan with \`offered: false\` is sold no more).`;
    faults.push({ code: 'STILL_IN_USE', message });
  }
  if (faults.length === 0) return;
  throw new ServiceError('conflict', 'STILL_IN_USE', faults.map(({ message }) => message).join(' '), {
    items: faults,
  });
}
