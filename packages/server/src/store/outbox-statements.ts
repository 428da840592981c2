import type { Instant } from '@pennon/engine/model/customer';
import { textArray } from './array-literal.js';
import type { GroupStatement } from './statement-group.js';

/* What is to be told, written in the transaction of the change that it tells of. */

export interface OutboxEvent {
  readonly id: string;
  readonly customerId: string;
  readonly type: string;
  readonly subject: string;
  readonly scope: string;
  readonly data: string;
}

// INVARIANT: no notice without its change, no change without its notice.
const INSERT_EVENTS = `
insert into outbox_event (id, occurred_at, environment_id, product_id, customer_id, type, subject, scope, data, transaction_id)
select n.id, to_timestamp($1::bigint / 1000.0), $2::uuid, $3::uuid, n.customer_id, n.type, n.subject, n.scope, n.data,
  pg_current_xact_id()
from unnest($4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::text[], $9::text[]) as n (id, customer_id, type, subject, scope, data)`;

export function outboxStatement(
  { environmentId, productId }: { readonly environmentId: string; readonly productId: string },
  now: Instant,
  events: readonly OutboxEvent[],
): GroupStatement {
  return {
    name: 'outbox-insert',
    text: INSERT_EVENTS,
    values: [
      String(now),
      environmentId,
      productId,
      textArray(events.map((one) => one.id)),
      textArray(events.map((one) => one.customerId)),
      textArray(events.map((one) => one.type)),
      textArray(events.map((one) => one.subject)),
      textArray(events.map((one) => one.scope)),
      textArray(events.map((one) => one.data)),
    ],
  };
}
