import type { Instant } from '@pennon/engine/model/customer';
import type { MemberSentence, MembersChange, MembersOutcome } from '@pennon/protocol/management/memberships';
import { fromInstant, fromInstantOrNull, toInstantOrNull } from '../../store/instant.js';
import {
  customersOfMembers,
  deleteMemberships,
  lockMemberships,
  type MemberContainer,
  type MemberKey,
  type MembershipRow,
  saveMemberships,
} from '../../store/member-rows.js';
import type { ChangeContext, Credential } from '../credential.js';
import { newId } from '../new-id.js';
import type { EnvironmentRecord, ProductRecord } from '../ports.js';
import { scopeOf } from '../scope.js';
import { ServiceError } from '../service-error.js';
import { fromTime } from '../times.js';
import {
  type Changed,
  type ContractServices,
  changeData,
  type DataChange,
  type DataEntry,
} from './data-change.js';
import { toApiMembership } from './membership-record.js';
import { type ContainerName, checkContainer } from './memberships.js';
import { PublishedItems } from './published-items.js';
import { emptySpan, isEmptySpan, refuse, timeOr } from './refusals.js';

/** A member with the span that is wanted; a start that is not said stays what it was, or is now. */
export interface WantedMember {
  readonly member: MemberKey;
  readonly startsAt: Instant | null;
  readonly endsAt: Instant | null;
  readonly reason: string;
}

export interface WantedChange {
  readonly put: readonly WantedMember[];
  readonly remove: readonly MemberKey[];
}

export interface MembersScope {
  readonly environment: EnvironmentRecord;
  readonly product: ProductRecord;
  readonly container: ContainerName['container'];
}

export function membersScopeOf(
  services: ContractServices,
  credential: Credential,
  named: ContainerName,
): MembersScope {
  const { environment, product } = scopeOf(services.directory, credential, {
    environment: named.environment,
    product: named.product,
  });
  return { environment, product, container: named.container };
}

/** Puts many members in and takes many out, all of them or none (P-5). */
export async function changeMembers(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: ContainerName,
  body: MembersChange,
): Promise<Changed<MembersOutcome>> {
  const scope = membersScopeOf(services, credential, named);
  const wanted = readChange(body, named.container.kind);
  return changeData(services, context, scope.environment.id, async (change) => {
    const items = await PublishedItems.open(change.transaction, scope.product, scope.environment);
    await checkContainer(items, scope.container);
    const { outcome, refused } = await applyMembers(change, scope, wanted);
    if (refused[0] !== undefined) throw refused[0].error;
    return { item: outcome, created: false };
  });
}

function readChange(body: MembersChange, container: 'group' | 'segment'): WantedChange {
  const seen = new Set<string>();
  const once = ({ kind, key }: MemberKey, pointer: string): MemberKey => {
    const name = `${kind}/${key}`;
    if (seen.has(name)) {
      throw refuse(
        'unprocessable',
        'MEMBER_TWICE',
        `The ${kind} \`${key}\` is named twice. Name it once, in \`put\` or in \`remove\`.`,
        pointer,
      );
    }
    seen.add(name);
    return { kind, key };
  };
  const memberOf = (one: MemberKey, pointer: string): MemberKey => {
    checkMemberKind(container, one.kind, `${pointer}/kind`);
    return once(one, pointer);
  };
  return {
    put: (body.put ?? []).map((one, index) => {
      const pointer = `/put/${index}`;
      return { member: memberOf(one, pointer), ...readSpan(one, pointer), reason: one.reason ?? body.reason };
    }),
    remove: (body.remove ?? []).map((one, index) => memberOf(one, `/remove/${index}`)),
  };
}

export function readSpan(
  one: Pick<MemberSentence, 'startsAt' | 'endsAt'>,
  pointer: string,
): Pick<WantedMember, 'startsAt' | 'endsAt'> {
  const startsAt = one.startsAt === undefined ? null : fromTime(one.startsAt, `${pointer}/startsAt`);
  return { startsAt, endsAt: timeOr(one.endsAt, `${pointer}/endsAt`, null) };
}

export function checkMemberKind(container: 'group' | 'segment', kind: string, pointer: string): void {
  if (container === 'group' && kind !== 'customer') {
    throw refuse(
      'unprocessable',
      'MEMBER_KIND_REFUSED',
      `A group holds customers; the ${kind} cannot be in it. Put it into a segment.`,
      pointer,
    );
  }
}

export interface AppliedMembers {
  readonly outcome: MembersOutcome;
  /** Those of `put` that cannot be had beside what stands. */
  readonly refused: readonly { readonly member: MemberKey; readonly error: ServiceError }[];
}

/** In one change: who is in already and stays as wanted is left alone, so that the same call again changes nothing. */
export async function applyMembers(
  change: DataChange,
  scope: MembersScope,
  { put, remove }: WantedChange,
): Promise<AppliedMembers> {
  const { environment, product, container: name } = scope;
  const container: MemberContainer = { environmentId: environment.id, productId: product.id, ...name };
  const named = [...put.map(({ member }) => member), ...remove];
  const standing = new Map(
    (await lockMemberships(change.transaction, container, named)).map((row) => [nameOfRow(row), row]),
  );
  const refused: { readonly member: MemberKey; readonly error: ServiceError }[] = [];
  const saved = put.flatMap((wanted) => {
    const row = savedRow(change, container, wanted, standing);
    if (!(row instanceof ServiceError)) return row ?? [];
    refused.push({ member: wanted.member, error: row });
    return [];
  });
  const removed = remove.flatMap((member) => standing.get(nameOf(member)) ?? []);
  await saveMemberships(change.transaction, saved);
  await deleteMemberships(change.transaction, container, removed.map(memberOfRow));
  await touchMembers(change, [...saved, ...removed].map(memberOfRow));
  await change.recordAll([
    ...saved.map((row) =>
      entryOf(row, product, row.version === 1 ? 'membership.create' : 'membership.replace'),
    ),
    ...removed.map((row) => entryOf(row, product, 'membership.remove')),
  ]);
  const created = saved.filter((row) => row.version === 1).length;
  return {
    outcome: {
      created,
      replaced: saved.length - created,
      unchanged: put.length - saved.length - refused.length,
      removed: removed.length,
      absent: remove.length - removed.length,
    },
    refused,
  };
}

/** The row as it will stand; `null` where it stands like that already, the refusal where its span would be empty. */
function savedRow(
  change: DataChange,
  container: MemberContainer,
  { member, startsAt, endsAt, reason }: WantedMember,
  standing: ReadonlyMap<string, MembershipRow>,
): MembershipRow | ServiceError | null {
  const row = standing.get(nameOf(member));
  const start = startsAt ?? row?.starts_at.getTime() ?? change.now;
  if (isEmptySpan(start, endsAt)) return emptySpan();
  if (row === undefined) {
    return {
      environment_id: container.environmentId,
      member_kind: member.kind,
      member_key: member.key,
      product_id: container.productId,
      container_kind: container.kind,
      container_key: container.key,
      id: newId(),
      starts_at: fromInstant(start),
      ends_at: fromInstantOrNull(endsAt),
      reason,
      version: 1,
      created_at: fromInstant(change.now),
    };
  }
  const same =
    row.starts_at.getTime() === start && toInstantOrNull(row.ends_at) === endsAt && row.reason === reason;
  if (same) return null;
  return {
    ...row,
    starts_at: fromInstant(start),
    ends_at: fromInstantOrNull(endsAt),
    reason,
    version: row.version + 1,
  };
}

/** Everyone whose answers change hears of it, as for one member. */
async function touchMembers(change: DataChange, members: readonly MemberKey[]): Promise<void> {
  const keys: string[] = [];
  for (const { kind, key } of members) {
    if (kind !== 'customer') change.touchSubject(kind, key);
    if (kind === 'customer' || kind === 'team') keys.push(key);
  }
  const owners = await customersOfMembers(change.transaction, change.environmentId, members);
  await change.touchCustomers([...keys, ...owners]);
}

function entryOf(
  row: MembershipRow,
  product: ProductRecord,
  action: 'membership.create' | 'membership.replace' | 'membership.remove',
): DataEntry {
  const removed = action === 'membership.remove';
  return {
    action,
    productId: product.id,
    objectKind: 'membership',
    objectId: row.id,
    objectVersion: removed ? row.version + 1 : row.version,
    after: removed ? null : toApiMembership(row, product.key),
    ...(removed ? { removed: toApiMembership(row, product.key) } : {}),
  };
}

function memberOfRow(row: MembershipRow): MemberKey {
  return { kind: row.member_kind, key: row.member_key };
}

function nameOf({ kind, key }: MemberKey): string {
  return `${kind}/${key}`;
}

function nameOfRow(row: MembershipRow): string {
  return nameOf(memberOfRow(row));
}
