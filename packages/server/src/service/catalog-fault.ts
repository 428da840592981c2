import type { CatalogIssue } from '@pennon/engine/catalog/issue';
import type { FaultItem } from './service-error.js';

/** A located fault of a document as management answers carry it. */
export function toFaultItem(issue: CatalogIssue): FaultItem {
  return {
    code: issue.code,
    message: issue.message,
    ...(issue.path === '' ? {} : { pointer: issue.path }),
    file: issue.file,
    line: issue.line,
    column: issue.column,
    ...(issue.suggestion === undefined ? {} : { suggestion: issue.suggestion }),
  };
}
