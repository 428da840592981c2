import { LIMITS } from '@pennon/engine/model/limits';
import type { CustomerImport, ImportOutcome, ImportQuery } from '@pennon/protocol/management/customer-files';
import { isDatabaseUnavailable } from '../../store/database-error.js';
import { type ChangeContext, type Credential, withoutCall } from '../credential.js';
import { environmentInReach } from '../scope.js';
import { ServiceError } from '../service-error.js';
import { type ContractServices, changeData } from './data-change.js';
import { importBatch } from './import-batch.js';
import { createLotImport } from './import-lots.js';
import { type ImportLine, refused } from './import-plan.js';

/** Ends the transaction of a dry run, with what it would have done. */
class DryRun extends Error {
  readonly outcomes: readonly ImportOutcome[];

  constructor(outcomes: readonly ImportOutcome[]) {
    super('a dry run');
    this.outcomes = outcomes;
  }
}

/**
 * Takes customers over, line by line: who is new is created, of who is there the members that are named are changed, and nothing
 * is ever removed. Each batch is one transaction with its audit entries and notices; its outcomes are told after its commit, so
 * that what was acknowledged stands whatever becomes of the connection. The same file again changes nothing.
 */
export async function* importCustomers(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: { readonly environment: string },
  query: Pick<ImportQuery, 'mode' | 'dryRun'>,
  lines: AsyncIterable<ImportLine>,
): AsyncGenerator<readonly ImportOutcome[]> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  /** A file may go on about a customer that it made: exports do, where a customer has many users. */
  const createdHere = new Set<string>();
  const work = (batch: readonly ImportLine[]) =>
    changeData(services, withoutCall(context), environment.id, async (change) => {
      const lots = createLotImport(services, credential, environment, change);
      const outcomes = await importBatch(change, batch, query.mode === 'create' ? createdHere : null, lots);
      if (query.dryRun === true) throw new DryRun(outcomes);
      return { item: outcomes, created: false };
    }).then(
      ({ item }) => item,
      (error: unknown) => {
        if (error instanceof DryRun) return error.outcomes;
        throw error;
      },
    );
  const run = async (batch: readonly ImportLine[]): Promise<readonly ImportOutcome[]> => {
    try {
      const outcomes = await work(batch);
      for (const { outcome, key } of outcomes)
        if (outcome === 'created' && key !== null) createdHere.add(key);
      return outcomes;
    } catch (error) {
      if (isDatabaseUnavailable(error)) throw away(error);
      const [only] = batch;
      if (only === undefined) throw error;
      if (batch.length > 1) {
        // One of them cannot be stored: each by itself, so that it refuses only itself.
        const outcomes: ImportOutcome[] = [];
        for (const line of batch) outcomes.push(...(await run([line])));
        return outcomes;
      }
      if (error instanceof ServiceError) return [refused(only, error)];
      throw error;
    }
  };
  for await (const batch of batches(lines)) yield await run(batch);
}

function away(cause: unknown): ServiceError {
  const message = 'The database cannot be reached. What was acknowledged stands; send the file again.';
  return new ServiceError('unavailable', 'UNAVAILABLE', message, { cause });
}

/** In a batch no customer and no instance is named twice, so that all of it can be read and written at once. */
async function* batches(lines: AsyncIterable<ImportLine>): AsyncGenerator<readonly ImportLine[]> {
  let batch: ImportLine[] = [];
  let names = new Set<string>();
  let rows = 0;
  try {
    for await (const line of lines) {
      const { content } = line;
      const own = content instanceof ServiceError ? [] : namesIn(content);
      const more =
        content instanceof ServiceError
          ? 0
          : 1 + own.length + (content.users ?? []).length + (content.topUps ?? []).length;
      const full = batch.length >= LIMITS.importBatch.value || rows + more > LIMITS.importBatch.value * 4;
      if (batch.length > 0 && (full || own.some((name) => names.has(name)))) {
        yield batch;
        batch = [];
        names = new Set();
        rows = 0;
      }
      batch.push(line);
      for (const name of own) names.add(name);
      rows += more;
    }
  } catch (error) {
    // The file cannot be read any further; the lines before that were read well, and whoever goes on goes on behind them.
    if (batch.length > 0) yield batch;
    throw error;
  }
  if (batch.length > 0) yield batch;
}

function namesIn(customer: CustomerImport): string[] {
  return [
    `customer/${customer.key}`,
    ...(customer.instances ?? []).map((instance) => `instance/${instance.key}`),
  ];
}
