import type { JsonObject } from '@pennon/engine/model/json';
import type { ApiPlanMove, ApiPlanMoveItem } from '@pennon/protocol/management/plan-moves';
import type { Selectable } from 'kysely';
import { toInstantOrNull } from '../../store/instant.js';
import type { PlanMoveItemTable, PlanMoveTable } from '../../store/tables.js';
import type { Actor, ChangeContext } from '../credential.js';
import { toTime, toTimeOrNull } from '../times.js';

export type PlanMoveRow = Selectable<PlanMoveTable>;
export type PlanMoveItemRow = Selectable<PlanMoveItemTable>;

export function toApiPlanMove(row: PlanMoveRow, productKey: string): ApiPlanMove {
  return {
    id: row.id,
    product: productKey,
    from: { plan: row.from_plan, version: row.from_version },
    to: { plan: row.to_plan, version: row.to_version },
    selector: row.selector,
    customers: row.customers as unknown as string[] | null,
    at: row.at === null ? row.timing : toTime(row.at.getTime()),
    usage: row.usage,
    reason: row.reason,
    status: row.status,
    preview: { examined: row.examined, gaining: row.gaining, losing: row.losing, over: row.over },
    progress: {
      selected: row.selected,
      applied: row.applied,
      failed: row.failed,
      skipped: row.skipped,
      undone: row.undone,
    },
    fault: row.fault,
    version: row.version,
    createdAt: toTime(row.created_at.getTime()),
    startedAt: toTimeOrNull(toInstantOrNull(row.started_at)),
    finishedAt: toTimeOrNull(toInstantOrNull(row.finished_at)),
  };
}

type Effect = Pick<ApiPlanMoveItem, 'gains' | 'loses' | 'changes' | 'over'>;

export function toApiPlanMoveItem(row: PlanMoveItemRow): ApiPlanMoveItem {
  const { gains, loses, changes, over } = JSON.parse(row.effect) as Effect;
  return {
    customer: row.customer_key,
    license: row.license_id,
    state: row.state,
    code: row.code,
    message: row.message,
    dueAt: toTimeOrNull(toInstantOrNull(row.due_at)),
    gains,
    loses,
    changes,
    // Those of an earlier release counted pooled accounts alone.
    over: over.map(({ feature, usage, limit, over: amount, per = 'customer', accounts = 1 }) => {
      return { feature, per, accounts, usage, limit, over: amount };
    }),
  };
}

/** The object as the audit trail keeps it, without the counts, which move. */
export function planMoveAfter(row: PlanMoveRow, productKey: string): JsonObject {
  const { preview, progress, customers, ...rest } = toApiPlanMove(row, productKey);
  // As objects, so that an entry writes an id in the place of each key: a customer may be erased, an entry is never changed.
  const named = customers === null ? null : customers.map((customer) => ({ customer }));
  return { ...rest, customers: named } as unknown as JsonObject;
}

/** Whoever created the move is who changes the licenses, for the move's reason. */
export function contextOf(row: PlanMoveRow): ChangeContext {
  const actor: Actor = { kind: row.actor_kind as Actor['kind'], id: row.actor_id, onBehalfOf: null };
  return { actor, requestId: `plan-move-${row.id}`, reason: row.reason };
}
