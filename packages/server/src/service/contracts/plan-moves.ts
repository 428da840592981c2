import { compileCustomerCondition } from '@pennon/engine/entitlement/customer-condition';
import type { PageQuery } from '@pennon/protocol/management/common';
import type {
  ApiPlanMove,
  ApiPlanMoveItem,
  PlanMoveCreate,
  PlanMoveItemQuery,
} from '@pennon/protocol/management/plan-moves';
import { fromInstant } from '../../store/instant.js';
import type { PlanMoveStatus } from '../../store/tables.js';
import type { ChangeContext, Credential } from '../credential.js';
import { isId, newId } from '../new-id.js';
import { fromCursor, type Page, toPage } from '../page.js';
import type { EnvironmentRecord, ProductRecord } from '../ports.js';
import { checkPrecondition, type Precondition } from '../precondition.js';
import { environmentInReach, productInReach } from '../scope.js';
import { ServiceError } from '../service-error.js';
import { fromTime } from '../times.js';
import { type Changed, type ContractServices, changeData, type DataChange } from './data-change.js';
import { readVersion } from './license-terms.js';
import { productNamed } from './named-product.js';
import type { PlanMoveServices } from './plan-move-preview.js';
import { type PlanMoveRow, planMoveAfter, toApiPlanMove, toApiPlanMoveItem } from './plan-move-record.js';
import type { PlanMoveRunner } from './plan-move-runner.js';
import { PublishedItems } from './published-items.js';
import { notFound, refuse } from './refusals.js';

/* Moves of customers between plan versions (P-8): nobody is moved by a publish, only by one of these. */

export interface PlanMoveUseCases extends PlanMoveServices {
  readonly runner: Pick<PlanMoveRunner, 'wake'>;
}

export interface PlanMoveName {
  readonly environment: string;
  readonly move: string;
}

/** Creates a draft: who it is for and what it would mean is found in the background, and nothing is changed. */
export async function createPlanMove(
  services: PlanMoveUseCases,
  credential: Credential,
  context: ChangeContext,
  named: { readonly environment: string },
  body: PlanMoveCreate,
): Promise<Changed<ApiPlanMove>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const product = productNamed(services.directory, credential, body.product);
  const made = await changeData(services, context, environment.id, async (change) => {
    const items = await PublishedItems.open(change.transaction, product, environment);
    if (body.from.plan === body.to.plan && body.from.version === body.to.version) {
      throw refuse('unprocessable', 'PLAN_UNCHANGED', '`from` and `to` are the same plan version.', '/to');
    }
    await readVersion(items, body.to.plan, body.to.version, false);
    checkSelector(services, product, environment, body.selector);
    const row = await change.transaction
      .insertInto('plan_move')
      .values(columnsOf(body, environment, product, context, change))
      .returningAll()
      .executeTakeFirstOrThrow();
    await recordMove(change, row, product, 'plan-move.create');
    return { item: toApiPlanMove(row, product.key), created: true };
  });
  services.runner.wake();
  return made;
}

function columnsOf(
  body: PlanMoveCreate,
  environment: EnvironmentRecord,
  product: ProductRecord,
  context: ChangeContext,
  change: DataChange,
) {
  const wanted = body.at ?? 'now';
  const at = wanted === 'now' || wanted === 'period-end' ? null : fromTime(wanted, '/at');
  if (at !== null && at <= change.now) {
    const message = '`at` is not ahead. Send `now`, or an instant to come.';
    throw refuse('unprocessable', 'AT_NOT_AHEAD', message, '/at');
  }
  return {
    id: newId(),
    environment_id: environment.id,
    product_id: product.id,
    from_plan: body.from.plan,
    from_version: body.from.version,
    to_plan: body.to.plan,
    to_version: body.to.version,
    selector: body.selector ?? null,
    customers: body.customers === undefined ? null : JSON.stringify([...new Set(body.customers)]),
    timing: wanted === 'now' || wanted === 'period-end' ? (wanted as 'now' | 'period-end') : ('at' as const),
    at: at === null ? null : fromInstant(at),
    usage: body.usage ?? ('carry' as const),
    reason: context.reason,
    status: 'previewing' as const,
    actor_kind: context.actor.kind,
    actor_id: context.actor.id,
    version: 1,
    created_at: fromInstant(change.now),
  };
}

function checkSelector(
  services: PlanMoveServices,
  product: ProductRecord,
  environment: EnvironmentRecord,
  selector: string | undefined,
): void {
  const snapshot = services.snapshots.current(product.id, environment.id);
  if (selector === undefined || snapshot === null) return;
  const compiled = compileCustomerCondition(snapshot, selector, 'customer');
  if (compiled.ok) return;
  throw new ServiceError(
    'unprocessable',
    'SELECTOR_INVALID',
    `The selector cannot be used: ${compiled.issues.map(({ message }) => message).join('; ')}.`,
    {
      items: compiled.issues.map(({ message, line, column, suggestion }) => ({
        code: 'SELECTOR_INVALID',
        message,
        pointer: '/selector',
        line,
        column,
        ...(suggestion === undefined ? {} : { suggestion }),
      })),
    },
  );
}

async function recordMove(
  change: DataChange,
  row: PlanMoveRow,
  product: ProductRecord,
  action: string,
): Promise<void> {
  await change.record({
    action,
    productId: product.id,
    objectKind: 'plan-move',
    objectId: row.id,
    objectVersion: row.version,
    after: planMoveAfter(row, product.key),
  });
}

/** INVARIANT (law 11): a move of another environment, or of a product beyond the credential's reach, does not exist. */
async function findMove(
  services: ContractServices,
  credential: Credential,
  database: ContractServices['database'],
  environment: EnvironmentRecord,
  move: string,
  isLocked = false,
): Promise<{ readonly row: PlanMoveRow; readonly product: ProductRecord }> {
  let select = database
    .selectFrom('plan_move')
    .selectAll()
    .where('id', '=', isId(move) ? move : newId())
    .where('environment_id', '=', environment.id);
  if (isLocked) select = select.forUpdate();
  const row = await select.executeTakeFirst();
  if (row === undefined || (credential.productId !== null && credential.productId !== row.product_id)) {
    throw notFound(
      'PLAN_MOVE_NOT_FOUND',
      `The plan move \`${move}\``,
      'GET …/plan-moves lists those that exist.',
    );
  }
  return { row, product: productInReach(services.directory, credential, row.product_id) };
}

type Step = { readonly status: PlanMoveStatus; readonly retried?: true } | ServiceError;

/** The verbs of a move, and from where each goes on. */
export const PLAN_MOVE_VERBS = {
  start: ({ status }: PlanMoveRow): Step => {
    if (status === 'draft') return { status: 'running' };
    return status === 'previewing'
      ? conflict(
          'PLAN_MOVE_PREVIEWING',
          'What the move would do is still being found. Read it until it is a `draft`.',
        )
      : conflict('PLAN_MOVE_STARTED', `The move is \`${status}\`. Only a \`draft\` can be started.`);
  },
  retry: ({ status, failed }: PlanMoveRow): Step => {
    if (status !== 'running' && status !== 'finished') {
      return conflict(
        'PLAN_MOVE_NOT_RETRYABLE',
        `The move is \`${status}\`; one that runs or is finished can be retried.`,
      );
    }
    return failed === 0
      ? conflict('NOTHING_FAILED', 'Nothing of the move has failed, so there is nothing to try again.')
      : { status: 'running', retried: true };
  },
  undo: ({ status }: PlanMoveRow): Step => {
    if (status === 'previewing' || status === 'draft') return { status: 'discarded' };
    if (status === 'running' || status === 'finished') return { status: 'undoing' };
    return conflict('PLAN_MOVE_UNDONE', `The move is \`${status}\` already.`);
  },
} as const;
export type PlanMoveVerb = keyof typeof PLAN_MOVE_VERBS;

function conflict(code: string, message: string): ServiceError {
  return new ServiceError('conflict', code, message);
}

/** Starts a draft, tries again what failed, or takes back what is not due yet. */
export async function changePlanMove(
  services: PlanMoveUseCases,
  credential: Credential,
  context: ChangeContext,
  named: PlanMoveName,
  verb: PlanMoveVerb,
  precondition: Precondition,
): Promise<Changed<ApiPlanMove>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const changed = await changeData(services, context, environment.id, async (change) => {
    const found = await findMove(services, credential, change.transaction, environment, named.move, true);
    const { row, product } = found;
    const current = { tag: String(row.version), item: toApiPlanMove(row, product.key) };
    checkPrecondition(precondition, current, `The plan move \`${row.id}\``);
    const step = PLAN_MOVE_VERBS[verb](row);
    if (step instanceof ServiceError) throw step;
    if (step.retried === true) {
      await change.transaction
        .updateTable('plan_move_item')
        .set({ state: 'selected', code: null, message: null })
        .where('move_id', '=', row.id)
        .where('state', '=', 'failed')
        .execute();
    }
    const after = await change.transaction
      .updateTable('plan_move')
      .set({
        status: step.status,
        version: row.version + 1,
        finished_at: step.status === 'discarded' ? fromInstant(change.now) : null,
        ...(step.retried === true ? { failed: 0 } : {}),
        ...(verb === 'start' ? { started_at: fromInstant(change.now) } : {}),
      })
      .where('id', '=', row.id)
      .returningAll()
      .executeTakeFirstOrThrow();
    await recordMove(change, after, product, `plan-move.${verb}`);
    return { item: toApiPlanMove(after, product.key), created: false };
  });
  services.runner.wake();
  return changed;
}

export async function getPlanMove(
  services: ContractServices,
  credential: Credential,
  named: PlanMoveName,
): Promise<ApiPlanMove> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const { row, product } = await findMove(services, credential, services.database, environment, named.move);
  return toApiPlanMove(row, product.key);
}

export async function listPlanMoves(
  services: ContractServices,
  credential: Credential,
  named: { readonly environment: string },
  query: PageQuery,
): Promise<Page<ApiPlanMove>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const limit = query.limit ?? 50;
  const [before] = fromCursor(query.cursor, 1) ?? [];
  let select = services.database
    .selectFrom('plan_move')
    .innerJoin('product', 'product.id', 'plan_move.product_id')
    .selectAll('plan_move')
    .select('product.key as product_key')
    .where('plan_move.environment_id', '=', environment.id)
    .orderBy('plan_move.id', 'desc')
    .limit(limit + 1);
  if (credential.productId !== null) select = select.where('plan_move.product_id', '=', credential.productId);
  if (before !== undefined && isId(before)) select = select.where('plan_move.id', '<', before);
  return toPage(
    await select.execute(),
    limit,
    (row) => toApiPlanMove(row, row.product_key),
    (row) => [row.id],
  );
}

/** Customer by customer: what the move would mean, and what became of it. */
export async function listPlanMoveItems(
  services: ContractServices,
  credential: Credential,
  named: PlanMoveName,
  query: PlanMoveItemQuery,
): Promise<Page<ApiPlanMoveItem>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const { row: move } = await findMove(services, credential, services.database, environment, named.move);
  const limit = query.limit ?? 50;
  let select = services.database
    .selectFrom('plan_move_item')
    .selectAll()
    .where('move_id', '=', move.id)
    .orderBy('customer_id')
    .orderBy('license_id')
    .limit(limit + 1);
  if (query.state !== undefined) select = select.where('state', '=', query.state);
  if (query.effect !== undefined) select = select.where(query.effect, '=', true);
  const [customer, license] = fromCursor(query.cursor, 2) ?? [];
  if (customer !== undefined && license !== undefined && isId(customer) && isId(license)) {
    select = select.where((where) =>
      where.or([
        where('customer_id', '>', customer),
        where.and([where('customer_id', '=', customer), where('license_id', '>', license)]),
      ]),
    );
  }
  return toPage(await select.execute(), limit, toApiPlanMoveItem, (row) => [row.customer_id, row.license_id]);
}
