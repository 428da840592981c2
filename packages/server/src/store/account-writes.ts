import type { Instant } from '@pennon/engine/model/customer';
import { closeStatement, updateStatement } from './account-statements.js';
import type { BatchWrite, LockRequest } from './account-transaction.js';
import type { ConsumptionCopier } from './consumption-copy.js';
import { holderStatements } from './holder-statements.js';
import { hoursStatement } from './hour-statements.js';
import { creditsStatements, lotRowStatements } from './lot-statements.js';
import { outboxStatement } from './outbox-statements.js';
import { holdsStatement, reservationStatements } from './reservation-statements.js';
import type { GroupStatement } from './statement-group.js';
import type { Writing } from './writing.js';

/** What is written of one customer's batch. */
export interface CustomerWrite {
  readonly request: LockRequest;
  readonly write: BatchWrite;
}

/**
 * What a transaction writes of one customer or of several of one product; every statement only where there is something for it. Where one
 * customer's holds are asked for, they are the last result.
 */
export function writeStatements(
  copier: ConsumptionCopier,
  now: Instant,
  customers: readonly CustomerWrite[],
): readonly GroupStatement[] {
  const product = customers[0]?.request;
  if (product === undefined) return [];
  const statements: GroupStatement[] = [];
  const closed = eachOf(customers, (write) => write.closed);
  if (closed.length > 0) statements.push(closeStatement(product, now, closed));
  statements.push(...balanceStatements(copier, now, customers, 'always'));
  const lots = customers.map(({ request, write }) => ({ customerId: request.customerId, ...write.lots }));
  statements.push(...lotRowStatements(product, now, lots), ...creditsStatements(product, lots));
  const notices = eachOf(customers, (write) => write.notices);
  if (notices.length > 0) statements.push(outboxStatement(product, now, notices));
  const holders = eachOf(customers, (write) => write.holders);
  statements.push(...holderStatements(product, now, holders));
  for (const { request, write } of customers) {
    statements.push(...reservationStatements(request, write));
    if (write.reservations.accounts.length > 0) {
      statements.push(holdsStatement(request, write.reservations.accounts));
    }
  }
  return statements;
}

/** What nearly every transaction writes, and many nothing else: balances, consumptions, and what they add to the history. */
export function balanceStatements(
  copier: ConsumptionCopier,
  now: Instant,
  customers: readonly CustomerWrite[],
  writing: Writing,
): readonly GroupStatement[] {
  const product = customers[0]?.request;
  if (product === undefined) return [];
  const statements: GroupStatement[] = [];
  const accounts = eachOf(customers, (write) => write.accounts);
  if (accounts.length > 0) statements.push(updateStatement(product, now, accounts, writing));
  if (customers.some(({ write }) => write.consumptions.length > 0)) {
    statements.push(copier.copyOf(now, customers, writing));
  }
  const hours = eachOf(customers, (write) => write.hours);
  if (hours.length > 0) statements.push(hoursStatement(product, hours, writing));
  return statements;
}

function eachOf<Row>(
  customers: readonly CustomerWrite[],
  rowsOf: (write: BatchWrite) => readonly Row[],
): readonly (Row & { readonly customerId: string })[] {
  return customers.flatMap(({ request: { customerId }, write }) =>
    rowsOf(write).map((row) => ({ ...row, customerId })),
  );
}
