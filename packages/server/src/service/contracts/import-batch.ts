import { canonicalJson } from '@pennon/engine/catalog/canonical-json';
import type { JsonObject } from '@pennon/engine/model/json';
import { LIMITS } from '@pennon/engine/model/limits';
import type { CustomerImport, ImportOutcome } from '@pennon/protocol/management/customer-files';
import { fromInstant } from '../../store/instant.js';
import { newId } from '../new-id.js';
import { ServiceError } from '../service-error.js';
import { fromTime } from '../times.js';
import { type CustomerRow, customerEntry, toApiCustomer } from './customer-record.js';
import type { DataChange } from './data-change.js';
import { type Known, knownOf } from './import-known.js';
import type { LotImport } from './import-lots.js';
import { type ImportLine, type ImportPlan, refused } from './import-plan.js';
import { writeImported } from './import-write.js';
import { type InstanceRow, instanceEntry, toApiInstance } from './instance-record.js';
import { attributesText, checkTimeZone, refuse } from './refusals.js';
import { toApiUser, type UserRow, userEntry } from './user-record.js';

/** One batch in one transaction. `createdHere`: only new customers are taken, and those that this import made. */
export async function importBatch(
  change: DataChange,
  batch: readonly ImportLine[],
  createdHere: ReadonlySet<string> | null,
  lots: LotImport,
): Promise<readonly ImportOutcome[]> {
  const customers = batch.flatMap(({ content }) => (content instanceof ServiceError ? [] : [content]));
  const known = await knownOf(change, customers);
  await lots.read(customers, known);
  const plans: ImportPlan[] = [];
  const outcomes = batch.map((line): ImportOutcome => {
    const { content } = line;
    if (content instanceof ServiceError) return refused(line, content);
    try {
      const existing = known.customers.get(content.key);
      if (existing !== undefined && createdHere !== null && !createdHere.has(content.key))
        throw exists(content.key);
      const plan = planOf(change, known, content, lots);
      if (plan !== null) plans.push(plan);
      const outcome = existing === undefined ? 'created' : plan === null ? 'unchanged' : 'updated';
      return { line: line.line, key: content.key, outcome };
    } catch (error) {
      if (error instanceof ServiceError) return refused(line, error);
      throw error;
    }
  });
  await writeImported(change, plans);
  await lots.write(plans);
  return outcomes;
}

function exists(key: string): ServiceError {
  const message = `The customer \`${key}\` exists already, and \`mode=create\` changes none. Import with \`mode=upsert\`.`;
  return new ServiceError('conflict', 'CUSTOMER_EXISTS', message);
}

function planOf(change: DataChange, known: Known, line: CustomerImport, lots: LotImport): ImportPlan | null {
  const existing = known.customers.get(line.key) ?? null;
  checkTimeZone(line.timeZone);
  const own = customerOf(change, existing, line);
  const users = usersOf(change, known, own.row, line.users ?? []);
  const instances = instancesOf(change, known, own.row, line.instances ?? []);
  const topUps = lots.newOf(own.row.id, line);
  if (!own.changed && users.length === 0 && instances.length === 0 && topUps.length === 0) return null;
  const customer = { ...own.row, version: existing === null ? 1 : existing.version + 1 };
  const customerAction = existing === null ? 'customer.create' : 'customer.change';
  return {
    customer,
    users,
    instances,
    topUps,
    reindex: own.changed,
    entries: [
      ...(own.changed ? [customerEntry(toApiCustomer(customer), customerAction)] : []),
      ...users.map((row) =>
        userEntry(toApiUser(row, line.key), row.version === 1 ? 'user.create' : 'user.replace'),
      ),
      ...instances.map((row) =>
        instanceEntry(
          customer.id,
          toApiInstance(row, line.key),
          row.version === 1 ? 'instance.create' : 'instance.replace',
        ),
      ),
    ],
  };
}

/** Members that the line does not name stay as they are. */
function named<Value>(given: Value | undefined, stored: Value): Value {
  return given === undefined ? stored : given;
}

function sameJson(left: JsonObject, right: JsonObject): boolean {
  return canonicalJson(left) === canonicalJson(right);
}

function attributes(
  given: Readonly<Record<string, unknown>> | undefined,
  stored: JsonObject,
  pointer: string,
) {
  return given === undefined ? stored : (JSON.parse(attributesText(given, pointer)) as JsonObject);
}

function customerOf(
  change: DataChange,
  existing: CustomerRow | null,
  line: CustomerImport,
): { readonly row: CustomerRow; readonly changed: boolean } {
  const now = fromInstant(change.now);
  const archivedAt = existing?.archived_at ?? null;
  const row: CustomerRow = {
    id: existing?.id ?? newId(),
    environment_id: change.environmentId,
    key: line.key,
    external_id: named(line.externalId, existing?.external_id ?? null),
    name: named(line.name, existing?.name ?? null),
    email: named(line.email, existing?.email ?? null),
    time_zone: named(line.timeZone, existing?.time_zone ?? null),
    attributes: attributes(line.attributes, existing?.attributes ?? {}, '/attributes'),
    version: existing?.version ?? 1,
    created_at: existing?.created_at ?? createdAt(change, line.createdAt),
    archived_at: line.archived === undefined ? archivedAt : line.archived ? (archivedAt ?? now) : null,
    erased_at: null,
  };
  const changed =
    existing === null ||
    row.external_id !== existing.external_id ||
    row.name !== existing.name ||
    row.email !== existing.email ||
    row.time_zone !== existing.time_zone ||
    (row.archived_at === null) !== (archivedAt === null) ||
    !sameJson(row.attributes, existing.attributes);
  return { row, changed };
}

/** The periods of a default plan count from it, so that whoever moves here keeps it. */
function createdAt(change: DataChange, time: string | undefined): Date {
  if (time === undefined) return fromInstant(change.now);
  const instant = fromTime(time, '/createdAt');
  if (instant <= change.now) return fromInstant(instant);
  const message = `\`createdAt\` is later than now (${fromInstant(change.now).toISOString()}). Leave it out for a new customer.`;
  throw refuse('unprocessable', 'CREATED_LATER', message, '/createdAt');
}

function usersOf(
  change: DataChange,
  known: Known,
  customer: CustomerRow,
  users: NonNullable<CustomerImport['users']>,
): UserRow[] {
  refuseTwice(
    users.map(({ key }) => key),
    'users',
  );
  return users.flatMap((user, index): UserRow[] => {
    const existing = known.users.get(`${customer.id}/${user.key}`) ?? null;
    const owners = known.ownersOfUser.get(user.key) ?? 0;
    if (existing === null && owners >= LIMITS.customersPerUser.value) {
      const message = `The user \`${user.key}\` belongs to ${owners} customers already, which is the limit.`;
      throw refuse('unprocessable', 'USER_OF_TOO_MANY_CUSTOMERS', message, `/users/${index}/key`);
    }
    const row: UserRow = {
      customer_id: customer.id,
      id: existing?.id ?? newId(),
      key: user.key,
      environment_id: change.environmentId,
      name: named(user.name, existing?.name ?? null),
      email: named(user.email, existing?.email ?? null),
      attributes: attributes(user.attributes, existing?.attributes ?? {}, `/users/${index}/attributes`),
      version: (existing?.version ?? 0) + 1,
      created_at: existing?.created_at ?? fromInstant(change.now),
    };
    const same =
      existing !== null &&
      row.name === existing.name &&
      row.email === existing.email &&
      sameJson(row.attributes, existing.attributes);
    return same ? [] : [row];
  });
}

function instancesOf(
  change: DataChange,
  known: Known,
  customer: CustomerRow,
  instances: NonNullable<CustomerImport['instances']>,
): InstanceRow[] {
  refuseTwice(
    instances.map(({ key }) => key),
    'instances',
  );
  let count = known.instancesOfCustomer.get(customer.id) ?? 0;
  return instances.flatMap((instance, index): InstanceRow[] => {
    const existing = known.instances.get(instance.key) ?? null;
    const pointer = `/instances/${index}`;
    if (existing !== null && existing.customer_id !== customer.id) {
      const message = `The instance \`${instance.key}\` belongs to another customer of this environment. Choose another key, or remove it there first.`;
      throw refuse('conflict', 'INSTANCE_KEY_TAKEN', message, `${pointer}/key`);
    }
    if (existing === null) count += 1;
    if (count > LIMITS.instancesPerCustomer.value) {
      const message = `The customer \`${customer.key}\` would have ${count} instances; ${LIMITS.instancesPerCustomer.value} is the limit.`;
      throw refuse('unprocessable', 'TOO_MANY_INSTANCES', message, pointer);
    }
    const row: InstanceRow = {
      customer_id: customer.id,
      id: existing?.id ?? newId(),
      environment_id: change.environmentId,
      key: instance.key,
      name: named(instance.name, existing?.name ?? null),
      metadata: attributes(instance.metadata, existing?.metadata ?? {}, `${pointer}/metadata`),
      version: (existing?.version ?? 0) + 1,
      created_at: existing?.created_at ?? fromInstant(change.now),
    };
    const same = existing !== null && row.name === existing.name && sameJson(row.metadata, existing.metadata);
    return same ? [] : [row];
  });
}

function refuseTwice(keys: readonly string[], where: 'users' | 'instances'): void {
  const twice = keys.find((key, index) => keys.indexOf(key) !== index);
  if (twice === undefined) return;
  throw refuse(
    'invalid',
    'KEY_TWICE',
    `\`${twice}\` stands twice in \`${where}\` of one line. Say it once.`,
    `/${where}`,
  );
}
