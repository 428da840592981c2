import { createHash } from 'node:crypto';
import type { JsonObject } from '@pennon/engine/model/json';
import { isJsonObject } from '@pennon/engine/model/json';
import type { ApiAuditEntry, AuditListQuery } from '@pennon/protocol/management/audit';
import { type ReadAuditEntry, readAuditEntries } from '../../store/audit-reads.js';
import type { Credential } from '../credential.js';
import { isId } from '../new-id.js';
import { fromCursor, type Page, toPage } from '../page.js';
import { environmentInReach } from '../scope.js';
import { toTime } from '../times.js';
import type { ContractServices } from './data-change.js';
import { refuse } from './refusals.js';

/** What changed in an environment, the latest first; of one object, or of all. Erased members stay erased. */
export async function listAudit(
  services: ContractServices,
  credential: Credential,
  named: { readonly environment: string },
  query: AuditListQuery,
): Promise<Page<ApiAuditEntry>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const { objectKind, objectId, limit = 50 } = query;
  if ((objectKind === undefined) !== (objectId === undefined)) {
    throw refuse(
      'invalid',
      'OBJECT_HALF_NAMED',
      'An object is named by `objectKind` and `objectId` together. Send both, or none.',
      objectKind === undefined ? 'objectKind' : 'objectId',
    );
  }
  const [after] = fromCursor(query.cursor, 1) ?? [];
  let select = services.database
    .selectFrom('audit_entry')
    .selectAll()
    .where('environment_id', '=', environment.id)
    .orderBy('id', 'desc')
    .limit(limit + 1);
  if (objectKind !== undefined && objectId !== undefined) {
    select = select.where('object_kind', '=', objectKind).where('object_id', '=', objectId);
  }
  const { productId } = credential;
  if (productId !== null) {
    select = select.where((expression) =>
      expression.or([expression('product_id', 'is', null), expression('product_id', '=', productId)]),
    );
  }
  if (after !== undefined && isId(after)) select = select.where('id', '<', after);
  const page = toPage(
    await select.execute(),
    limit,
    (row) => row,
    (row) => [row.id],
  );
  const entries = await readAuditEntries(services.database, environment.id, page.items);
  return { items: entries.map(toApiAuditEntry), nextCursor: page.nextCursor };
}

function toApiAuditEntry({ row, entry, after, erased }: ReadAuditEntry): ApiAuditEntry {
  const actor: JsonObject = isJsonObject(entry.actor) ? entry.actor : {};
  return {
    id: row.id,
    occurredAt: toTime(row.occurred_at.getTime()),
    action: row.action,
    actor: {
      kind: row.actor_kind,
      id: row.actor_id,
      onBehalfOf:
        actor.onBehalfOf === undefined || actor.onBehalfOf === null ? null : String(actor.onBehalfOf),
    },
    requestId: String(entry.requestId),
    reason: String(entry.reason),
    object: { kind: row.object_kind, id: row.object_id, version: row.object_version },
    productId: row.product_id,
    after,
    erased: [...erased],
    sha256: createHash('sha256').update(row.bytes).digest('hex'),
  };
}
