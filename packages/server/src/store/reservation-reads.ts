import type { ReservationState } from '@pennon/engine/model/decision';
import type { JsonObject } from '@pennon/engine/model/json';
import { type Kysely, sql } from 'kysely';
import type { ReservationRecord, Reservations } from '../service/ports.js';
import type { Tables } from './tables.js';

interface Row {
  readonly environment_id: string;
  readonly product_id: string;
  readonly customer_key: string;
  readonly feature: string;
  readonly context: string;
  readonly amount: number;
  readonly state: ReservationState;
  readonly settled: number | null;
  readonly expires_at: Date;
}

export function createReservationReads(database: Kysely<Tables>): Reservations {
  return {
    async find(id) {
      const { rows } = await sql<Row>`
        select r.environment_id, r.product_id, c.key as customer_key, r.feature, r.context, r.amount, r.settled, r.expires_at,
          case when r.state = 'held' and r.expires_at <= clock_timestamp() then 'expired' else r.state end as state
        from reservation r join customer c on c.id = r.customer_id where r.id = ${id}`.execute(database);
      const [row] = rows;
      return row === undefined ? null : toRecord(id, row);
    },
  };
}

function toRecord(id: string, row: Row): ReservationRecord {
  const { amount, state, settled } = row;
  return {
    environmentId: row.environment_id,
    productId: row.product_id,
    customerKey: row.customer_key,
    feature: row.feature,
    context: JSON.parse(row.context) as JsonObject,
    reservation: { id, amount, state, settled, expiresAt: row.expires_at.getTime() },
  };
}
