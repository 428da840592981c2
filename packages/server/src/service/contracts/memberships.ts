import type { MemberKind } from '@pennon/engine/model/customer';
import type {
  ApiMembership,
  MembershipListQuery,
  MembershipWrite,
} from '@pennon/protocol/management/memberships';
import { fromInstant, fromInstantOrNull } from '../../store/instant.js';
import type { MembershipRow } from '../../store/member-rows.js';
import type { ChangeContext, Credential } from '../credential.js';
import { newId } from '../new-id.js';
import { fromCursor, type Page, toPage } from '../page.js';
import type { EnvironmentRecord, ProductRecord } from '../ports.js';
import { checkPrecondition, type Precondition } from '../precondition.js';
import { scopeOf } from '../scope.js';
import { fromTime } from '../times.js';
import { type Changed, type ContractServices, changeData, type DataChange } from './data-change.js';
import { toApiMembership } from './membership-record.js';
import { PublishedItems } from './published-items.js';
import { checkSpan, notFound, timeOr, unknownName } from './refusals.js';
import { touchTarget } from './touch-target.js';

export interface ContainerName {
  readonly environment: string;
  readonly product: string;
  readonly container: { readonly kind: 'group' | 'segment'; readonly key: string };
}
export interface MembershipName extends ContainerName {
  readonly member: { readonly kind: MemberKind; readonly key: string };
}

function rowsOf(
  database: ContractServices['database'],
  environment: EnvironmentRecord,
  product: ProductRecord,
  { kind, key }: ContainerName['container'],
) {
  return database
    .selectFrom('membership')
    .selectAll()
    .where('environment_id', '=', environment.id)
    .where('product_id', '=', product.id)
    .where('container_kind', '=', kind)
    .where('container_key', '=', key);
}

/**
 * Puts a member in, or says anew until when it is in. Without `If-Match` the sentence stands for itself, so that the same
 * call can be repeated.
 */
export async function putMember(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: MembershipName,
  body: MembershipWrite,
  precondition: Precondition,
): Promise<Changed<ApiMembership>> {
  const { environment, product } = scopeOf(services.directory, credential, {
    environment: named.environment,
    product: named.product,
  });
  const { container, member } = named;
  return changeData(services, context, environment.id, async (change) => {
    const items = await PublishedItems.open(change.transaction, product, environment);
    await checkContainer(items, container);
    const row = await lockMember(change, environment, product, named);
    if (precondition.kind !== 'none') checkMember(precondition, row, named, product);
    const startsAt =
      body.startsAt === undefined
        ? (row?.starts_at.getTime() ?? change.now)
        : fromTime(body.startsAt, '/startsAt');
    const endsAt = timeOr(body.endsAt, '/endsAt', null);
    checkSpan(startsAt, endsAt);
    const saved = await save(change, product, named, row, {
      starts_at: fromInstant(startsAt),
      ends_at: fromInstantOrNull(endsAt),
      reason: body.reason,
    });
    await touchTarget(change, member);
    const item = toApiMembership(saved, product.key);
    await change.record({
      action: row === null ? 'membership.create' : 'membership.replace',
      productId: product.id,
      objectKind: 'membership',
      objectId: saved.id,
      objectVersion: saved.version,
      after: item,
    });
    return { item, created: row === null };
  });
}

/** Only what the published catalog has can hold members. */
export async function checkContainer(
  items: PublishedItems,
  { kind, key }: ContainerName['container'],
): Promise<void> {
  if ((await items.findOne(kind, key)) !== null) return;
  const code = kind === 'group' ? 'GROUP_UNKNOWN' : 'SEGMENT_UNKNOWN';
  throw unknownName(code, kind, key, await items.keysOf(kind), '/key');
}

async function lockMember(
  change: DataChange,
  environment: EnvironmentRecord,
  product: ProductRecord,
  { container, member }: MembershipName,
): Promise<MembershipRow | null> {
  const row = await rowsOf(change.transaction, environment, product, container)
    .where('member_kind', '=', member.kind)
    .where('member_key', '=', member.key)
    .forUpdate()
    .executeTakeFirst();
  return row ?? null;
}

function checkMember(
  precondition: Precondition,
  row: MembershipRow | null,
  named: MembershipName,
  product: ProductRecord,
): void {
  const current = row === null ? null : { tag: String(row.version), item: toApiMembership(row, product.key) };
  checkPrecondition(precondition, current, nameOf(named));
}

function nameOf({ container, member }: MembershipName): string {
  return `The membership of the ${member.kind} \`${member.key}\` in the ${container.kind} \`${container.key}\``;
}

async function save(
  change: DataChange,
  product: ProductRecord,
  { container, member }: MembershipName,
  row: MembershipRow | null,
  columns: Pick<MembershipRow, 'starts_at' | 'ends_at' | 'reason'>,
): Promise<MembershipRow> {
  const { transaction, environmentId } = change;
  if (row === null) {
    return transaction
      .insertInto('membership')
      .values({
        environment_id: environmentId,
        member_kind: member.kind,
        member_key: member.key,
        product_id: product.id,
        container_kind: container.kind,
        container_key: container.key,
        id: newId(),
        ...columns,
        version: 1,
        created_at: fromInstant(change.now),
      })
      .returningAll()
      .executeTakeFirstOrThrow();
  }
  return transaction
    .updateTable('membership')
    .set({ ...columns, version: row.version + 1 })
    .where('environment_id', '=', environmentId)
    .where('id', '=', row.id)
    .where('member_kind', '=', member.kind)
    .where('member_key', '=', member.key)
    .returningAll()
    .executeTakeFirstOrThrow();
}

export async function removeMember(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: MembershipName,
  precondition: Precondition,
): Promise<Changed<null>> {
  const { environment, product } = scopeOf(services.directory, credential, {
    environment: named.environment,
    product: named.product,
  });
  return changeData(services, context, environment.id, async (change) => {
    const row = await lockMember(change, environment, product, named);
    if (row === null) throw memberNotFound(named);
    if (precondition.kind !== 'none') checkMember(precondition, row, named, product);
    await change.transaction
      .deleteFrom('membership')
      .where('environment_id', '=', environment.id)
      .where('member_kind', '=', row.member_kind)
      .where('member_key', '=', row.member_key)
      .where('id', '=', row.id)
      .execute();
    await touchTarget(change, named.member);
    await change.record({
      action: 'membership.remove',
      productId: product.id,
      objectKind: 'membership',
      objectId: row.id,
      objectVersion: row.version + 1,
      after: null,
      removed: toApiMembership(row, product.key),
    });
    return { item: null, created: false };
  });
}

function memberNotFound(named: MembershipName) {
  return notFound('MEMBER_NOT_FOUND', nameOf(named), 'GET …/members lists those that exist.');
}

export async function getMember(
  services: ContractServices,
  credential: Credential,
  named: MembershipName,
): Promise<ApiMembership> {
  const { environment, product } = scopeOf(services.directory, credential, {
    environment: named.environment,
    product: named.product,
  });
  const row = await rowsOf(services.database, environment, product, named.container)
    .where('member_kind', '=', named.member.kind)
    .where('member_key', '=', named.member.key)
    .executeTakeFirst();
  if (row === undefined) throw memberNotFound(named);
  return toApiMembership(row, product.key);
}

export async function listMembers(
  services: ContractServices,
  credential: Credential,
  named: ContainerName,
  query: MembershipListQuery,
): Promise<Page<ApiMembership>> {
  const { environment, product } = scopeOf(services.directory, credential, {
    environment: named.environment,
    product: named.product,
  });
  const limit = query.limit ?? 50;
  const [kind, key] = fromCursor(query.cursor, 2) ?? [];
  let select = rowsOf(services.database, environment, product, named.container)
    .orderBy('member_kind')
    .orderBy('member_key')
    .limit(limit + 1);
  if (query.kind !== undefined) select = select.where('member_kind', '=', query.kind);
  if (kind !== undefined && key !== undefined) {
    select = select.where(({ eb, refTuple, tuple }) =>
      eb(refTuple('member_kind', 'member_key'), '>', tuple(kind as MemberKind, key)),
    );
  }
  return toPage(
    await select.execute(),
    limit,
    (row) => toApiMembership(row, product.key),
    (row) => [row.member_kind, row.member_key],
  );
}

const EXPORT_PAGE = 5000;

/** Every member of a group or segment, in pages that are read as they are taken. */
export async function* exportMembers(
  services: ContractServices,
  credential: Credential,
  named: ContainerName,
): AsyncGenerator<readonly ApiMembership[]> {
  const { environment, product } = scopeOf(services.directory, credential, {
    environment: named.environment,
    product: named.product,
  });
  let after: MembershipRow | undefined;
  for (;;) {
    const last = after;
    let select = rowsOf(services.database, environment, product, named.container)
      .orderBy('member_kind')
      .orderBy('member_key')
      .limit(EXPORT_PAGE);
    if (last !== undefined) {
      select = select.where(({ eb, refTuple, tuple }) =>
        eb(refTuple('member_kind', 'member_key'), '>', tuple(last.member_kind, last.member_key)),
      );
    }
    const rows = await select.execute();
    if (rows.length > 0) yield rows.map((row) => toApiMembership(row, product.key));
    after = rows.at(-1);
    if (rows.length < EXPORT_PAGE) return;
  }
}
