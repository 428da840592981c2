import type { DataChange } from './data-change.js';
import type { ImportPlan } from './import-plan.js';
import { touchInstance } from './instance-record.js';
import { customerWords, indexWords, instanceWords, userWords } from './search-index.js';

/** Writes what a batch changes, a statement for each table, with its audit entries and notices. */
export async function writeImported(change: DataChange, plans: readonly ImportPlan[]): Promise<void> {
  if (plans.length === 0) return;
  const { transaction } = change;
  await transaction
    .insertInto('customer')
    .values(plans.map(({ customer }) => ({ ...customer, attributes: JSON.stringify(customer.attributes) })))
    .onConflict((conflict) =>
      conflict.column('id').doUpdateSet((expression) => ({
        external_id: expression.ref('excluded.external_id'),
        name: expression.ref('excluded.name'),
        email: expression.ref('excluded.email'),
        time_zone: expression.ref('excluded.time_zone'),
        attributes: expression.ref('excluded.attributes'),
        version: expression.ref('excluded.version'),
        archived_at: expression.ref('excluded.archived_at'),
      })),
    )
    .execute();
  const users = plans.flatMap((plan) => plan.users);
  if (users.length > 0) {
    await transaction
      .insertInto('customer_user')
      .values(users.map((row) => ({ ...row, attributes: JSON.stringify(row.attributes) })))
      .onConflict((conflict) =>
        conflict.columns(['customer_id', 'key']).doUpdateSet((expression) => ({
          name: expression.ref('excluded.name'),
          email: expression.ref('excluded.email'),
          attributes: expression.ref('excluded.attributes'),
          version: expression.ref('excluded.version'),
        })),
      )
      .execute();
  }
  const instances = plans.flatMap((plan) => plan.instances);
  if (instances.length > 0) {
    await transaction
      .insertInto('instance')
      .values(instances.map((row) => ({ ...row, metadata: JSON.stringify(row.metadata) })))
      .onConflict((conflict) =>
        conflict.columns(['customer_id', 'id']).doUpdateSet((expression) => ({
          name: expression.ref('excluded.name'),
          metadata: expression.ref('excluded.metadata'),
          version: expression.ref('excluded.version'),
        })),
      )
      .execute();
  }
  await indexWords(change, [
    ...plans.filter(({ reindex }) => reindex).map(({ customer }) => customerWords(customer)),
    ...users.map(userWords),
    ...instances.map(instanceWords),
  ]);
  for (const { customer } of plans) change.noteCreated(customer.key, customer.version);
  for (const { key } of users) change.touchSubject('user', key);
  for (const instance of instances) touchInstance(change, instance);
  await change.recordAll(plans.flatMap(({ entries }) => entries));
}
