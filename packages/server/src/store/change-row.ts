import type { ChangeNotice } from '../service/ports.js';

/** The columns of a change row that carry the notice. */
export interface ChangeRow {
  readonly kind: string | null;
  readonly environment_id: string | null;
  readonly product_id: string | null;
  readonly subject_kind: string | null;
  readonly subject_key: string | null;
  readonly revision: number | null;
  readonly version: number | null;
}

const EMPTY = {
  environment_id: null,
  product_id: null,
  subject_kind: null,
  subject_key: null,
  revision: null,
  version: null,
} as const;

export function toChangeRow(notice: ChangeNotice): ChangeRow & { readonly kind: string } {
  switch (notice.kind) {
    case 'revision':
      return {
        ...EMPTY,
        kind: notice.kind,
        product_id: notice.productId,
        environment_id: notice.environmentId,
        revision: notice.revision,
      };
    case 'customer':
      return {
        ...EMPTY,
        kind: notice.kind,
        environment_id: notice.environmentId,
        subject_kind: 'customer',
        subject_key: notice.customerKey,
        version: notice.version,
      };
    case 'subject':
      return {
        ...EMPTY,
        kind: notice.kind,
        environment_id: notice.environmentId,
        subject_kind: notice.subjectKind,
        subject_key: notice.subjectKey,
      };
    case 'environment-customers':
      return { ...EMPTY, kind: notice.kind, environment_id: notice.environmentId };
    case 'keys':
    case 'directory':
      return { ...EMPTY, kind: notice.kind };
  }
}

/** `null` for a kind that a newer release writes: during a rolling upgrade it concerns nothing that this one holds. */
export function fromChangeRow(row: ChangeRow): ChangeNotice | null {
  const { environment_id: environmentId, product_id: productId, subject_key: key } = row;
  switch (row.kind) {
    case 'revision':
      if (productId === null || environmentId === null || row.revision === null) return null;
      return { kind: 'revision', productId, environmentId, revision: row.revision };
    case 'customer':
      if (environmentId === null || key === null || row.version === null) return null;
      return { kind: 'customer', environmentId, customerKey: key, version: row.version };
    case 'subject': {
      const subjectKind = row.subject_kind;
      if (environmentId === null || key === null) return null;
      if (subjectKind !== 'user' && subjectKind !== 'team' && subjectKind !== 'instance') return null;
      return { kind: 'subject', environmentId, subjectKind, subjectKey: key };
    }
    case 'environment-customers':
      return environmentId === null ? null : { kind: 'environment-customers', environmentId };
    case 'keys':
      return { kind: 'keys' };
    case 'directory':
      return { kind: 'directory' };
    default:
      return null;
  }
}
