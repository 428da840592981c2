import { type Kysely, sql } from 'kysely';
import { fromInstant } from '../store/instant.js';
import type { Tables } from '../store/tables.js';
import type { ManagementDependencies } from './change.js';
import type { ChangeContext } from './credential.js';
import { createEnvironment } from './environments/create-environment.js';
import { newId } from './new-id.js';
import { createProduct } from './products/create-product.js';
import { ServiceError } from './service-error.js';

/** Any number that no other lock of ours has. */
const SEED_LOCK = 7_366_401;

const FIRST_ENVIRONMENTS = [
  { key: 'production', name: 'Production', protected: false },
  { key: 'development', name: 'Development', protected: false },
] as const;

/** Who sets up a fresh installation, in the audit trail. */
export function systemContext(reason: string): ChangeContext {
  return { actor: { kind: 'system', id: 'pennon', onBehalfOf: null }, requestId: 'start', reason };
}

/** Makes what every installation has, where it is missing: its id and the first two environments. May run on many processes. */
export async function seedInstallation(dependencies: ManagementDependencies): Promise<void> {
  await makeInstallation(dependencies);
  const [found] = await dependencies.database.selectFrom('environment').select('id').limit(1).execute();
  if (found !== undefined) {
    return;
  }
  for (const environment of FIRST_ENVIRONMENTS) {
    const input = { ...environment, reason: 'Every installation begins with it.' };
    await unlessItExists(createEnvironment(dependencies, systemContext(input.reason), input));
  }
}

async function makeInstallation(dependencies: ManagementDependencies): Promise<void> {
  await dependencies.database.transaction().execute(async (transaction) => {
    await sql`select pg_advisory_xact_lock(${SEED_LOCK})`.execute(transaction);
    const found = await transaction.selectFrom('installation').select('id').executeTakeFirst();
    if (found === undefined) {
      await transaction
        .insertInto('installation')
        .values({ id: newId(), created_at: fromInstant(dependencies.clock.now()) })
        .execute();
    }
  });
}

/** Makes a product where the installation has none. */
export async function seedProduct(dependencies: ManagementDependencies, key: string): Promise<void> {
  if (!(await hasProducts(dependencies.database))) {
    const input = { key, name: key, reason: 'Every installation begins with a product.' };
    await unlessItExists(createProduct(dependencies, systemContext(input.reason), input));
  }
}

export async function hasProducts(database: Kysely<Tables>): Promise<boolean> {
  const [found] = await database.selectFrom('product').select('id').limit(1).execute();
  return found !== undefined;
}

/** Another process that starts at the same time has made it: that is what was wanted. */
async function unlessItExists(creation: Promise<unknown>): Promise<void> {
  try {
    await creation;
  } catch (error) {
    if (!(error instanceof ServiceError) || error.kind !== 'conflict') {
      throw error;
    }
  }
}
