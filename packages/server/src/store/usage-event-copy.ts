import type { Instant } from '@pennon/engine/model/customer';
import { ByteWriter } from './byte-writer.js';
import { copyMessage } from './copy-message.js';
import type { GroupStatement } from './statement-group.js';
import type { EventRow, UsageLockRequest } from './usage-transaction.js';

/* Recorded events go into their table by binary COPY, as consumptions do. */

const COLUMNS = [
  ...['customer_id', 'received_at', 'event_key', 'environment_id', 'product_id', 'source', 'event_id'],
  ...['type', 'feature', 'scope', 'amount', 'counted', 'occurred_at', 'counted_at', 'period_start'],
  ...['corrects', 'attributes', 'actor'],
];
const COPY = `copy usage_event (${COLUMNS.join(', ')}) from stdin (format binary)`;
const CAPACITY = 512 * 1024;
/** A chunk with large attributes is not worth holding its room for. */
const KEPT_CAPACITY = 4 * 1024 * 1024;

export interface EventCopier {
  /** The statement with its rows. The bytes live here, so that there is one under way at a time. */
  copyOf(request: UsageLockRequest, now: Instant, rows: readonly EventRow[]): GroupStatement;
}

/** One for each connection. */
export function createEventCopier(): EventCopier {
  let writer = new ByteWriter(CAPACITY);
  return {
    copyOf(request, now, rows) {
      if (writer.capacity > KEPT_CAPACITY) {
        writer = new ByteWriter(CAPACITY);
      }
      const copy = copyMessage(writer, () => {
        for (const row of rows) {
          writeRow(writer, request, now, row);
        }
      });
      return { name: 'usage-event-copy', text: COPY, values: [], copy };
    },
  };
}

function writeRow(writer: ByteWriter, request: UsageLockRequest, now: Instant, row: EventRow): void {
  writer.int16(COLUMNS.length);
  writer.hexField(row.customerId);
  writer.instantField(now);
  writer.hexField(row.eventKey);
  writer.hexField(request.environmentId);
  writer.hexField(request.productId);
  writer.textField(row.source);
  writer.textField(row.eventId);
  writer.textField(row.type);
  writer.textField(row.feature);
  writer.textField(row.scope);
  writer.bigintField(row.amount);
  writer.bigintField(row.counted);
  writer.instantField(row.occurredAt);
  writer.instantField(row.countedAt);
  writer.instantField(row.periodStart);
  if (row.corrects === null) {
    writer.nullField();
  } else {
    writer.hexField(row.corrects);
  }
  writer.textField(row.attributes);
  writer.textField(row.actor);
}
