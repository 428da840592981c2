import type { JsonObject } from '@pennon/engine/model/json';
import type { CompiledFeature } from '@pennon/engine/snapshot/snapshot';
import type { ConsumedHour, LockedFrame } from '../store/account-transaction.js';
import type { LiveAccount } from './batch-accounts.js';
import { dimensionsText, hourOf } from './usage/hour-rows.js';

/* What a batch adds to the history of usage: one row for each account, and for each combination of dimensions that a feature keeps apart. */

export interface BatchHours {
  /**
   * Follows a decision that was taken over already.
   *
   * @param change of what is used, never 0; what is given back is negative
   * @param attributes JSON, as they are recorded
   */
  add(
    account: LiveAccount,
    feature: CompiledFeature | undefined,
    change: number,
    attributes: string | null,
  ): void;
  rows(): readonly ConsumedHour[];
}

interface LiveHour extends ConsumedHour {
  amount: number;
  events: number;
  usedAfter: number | null;
  limitAfter: number | null;
}

export function createBatchHours({ now }: LockedFrame): BatchHours {
  const hour = hourOf(now);
  const rows = new Map<LiveAccount, Map<string, LiveHour>>();

  function rowOf({ before }: LiveAccount, { aggregation }: CompiledFeature, dimensions: string): LiveHour {
    const { feature, scope } = before;
    const counted = { amount: 0, events: 0, lastAt: now, usedAfter: null, limitAfter: null };
    return { feature, scope, hour, dimensions, aggregation, ...counted };
  }

  return {
    add(account, feature, change, attributes) {
      if (feature === undefined) return;
      let ofAccount = rows.get(account);
      if (ofAccount === undefined) {
        ofAccount = new Map();
        rows.set(account, ofAccount);
      }
      const dimensions = feature.dimensions.length === 0 ? '' : dimensionsText(feature, toObject(attributes));
      let row = ofAccount.get(dimensions);
      if (row === undefined) {
        row = rowOf(account, feature, dimensions);
        ofAccount.set(dimensions, row);
      }
      row.amount += change;
      row.events += 1;
      row.usedAfter = account.used;
      row.limitAfter = account.limitKnown;
    },
    rows: () => [...rows.values()].flatMap((ofAccount) => [...ofAccount.values()]),
  };
}

function toObject(attributes: string | null): JsonObject {
  return attributes === null ? {} : (JSON.parse(attributes) as JsonObject);
}
