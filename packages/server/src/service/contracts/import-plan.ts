import type { CustomerImport, ImportOutcome } from '@pennon/protocol/management/customer-files';
import { ServiceError } from '../service-error.js';
import type { CustomerRow } from './customer-record.js';
import type { DataEntry } from './data-change.js';
import type { InstanceRow } from './instance-record.js';
import type { LotRow } from './lot-record.js';
import type { UserRow } from './user-record.js';

/** A line of a file: a customer, or why it is none. */
export interface ImportLine {
  readonly line: number;
  readonly content: CustomerImport | ServiceError;
}

/** What one line changes; nothing where it says what is there already. */
export interface ImportPlan {
  readonly customer: CustomerRow;
  readonly users: readonly UserRow[];
  readonly instances: readonly InstanceRow[];
  readonly topUps: readonly LotRow[];
  /** Whether the customer's own words may have changed. */
  readonly reindex: boolean;
  readonly entries: readonly DataEntry[];
}

export function refused({ line, content }: ImportLine, { code, message }: ServiceError): ImportOutcome {
  const key = content instanceof ServiceError ? null : content.key;
  return { line, key, outcome: 'refused', code, detail: message };
}
