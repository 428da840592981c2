import type { MemberKind, TargetKind } from '@pennon/engine/model/customer';
import type { DataChange } from './data-change.js';

/**
 * Everyone whose answers a grant or a membership of that target can change hears of it: the customer itself, the customers of
 * a user or an instance, and the subject's own facts. Keys that nobody registered are told too, because they may be asked about.
 */
export async function touchTarget(
  change: DataChange,
  target: { readonly kind: TargetKind | MemberKind; readonly key: string },
): Promise<void> {
  switch (target.kind) {
    case 'customer':
      await change.touchCustomer(target.key);
      return;
    case 'team':
      // A team that is a customer's key is that customer for whoever asks.
      change.touchSubject('team', target.key);
      await change.touchCustomer(target.key);
      return;
    case 'user':
      change.touchSubject('user', target.key);
      await change.touchCustomers(await customersOfUser(change, target.key));
      return;
    case 'instance':
      change.touchSubject('instance', target.key);
      await change.touchCustomers(await customersOfInstance(change, target.key));
      return;
    case 'group':
    case 'segment':
      change.touchShared();
      return;
  }
}

async function customersOfUser(change: DataChange, key: string): Promise<string[]> {
  const rows = await change.transaction
    .selectFrom('customer_user')
    .innerJoin('customer', 'customer.id', 'customer_user.customer_id')
    .select('customer.key')
    .where('customer_user.environment_id', '=', change.environmentId)
    .where('customer_user.key', '=', key)
    .execute();
  return rows.map((row) => row.key);
}

async function customersOfInstance(change: DataChange, key: string): Promise<string[]> {
  const rows = await change.transaction
    .selectFrom('instance')
    .innerJoin('customer', 'customer.id', 'instance.customer_id')
    .select('customer.key')
    .where('instance.environment_id', '=', change.environmentId)
    .where('instance.key', '=', key)
    .execute();
  return rows.map((row) => row.key);
}
