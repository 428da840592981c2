import { ServiceError } from './service-error.js';

/** A strong entity tag. Items are tagged with their version, catalog items with their hash. */
export function toEtag(tag: string | number): string {
  return `"${tag}"`;
}

/** What a change expects of the item that it changes. */
export type Precondition =
  /** Exactly one of these tags (unquoted). */
  | { readonly kind: 'match'; readonly tags: readonly string[] }
  /** `If-Match: *`: it must exist, in whatever state. */
  | { readonly kind: 'exists' }
  /** `If-None-Match: *`: it must not exist. */
  | { readonly kind: 'absent' }
  /** Nothing was sent: creating is allowed, changing an existing item is 428. */
  | { readonly kind: 'none' };

/**
 * Checks a precondition against the item's present tag (`null`: it does not exist). 412 carries both sides: what was expected and
 * what is there. Called inside the transaction that changes the item, or the check means nothing.
 */
export function checkPrecondition(
  precondition: Precondition,
  current: { readonly tag: string; readonly item: unknown } | null,
  name: string,
): void {
  switch (precondition.kind) {
    case 'absent':
      if (current !== null) {
        throw failed(`${name} exists already.`, precondition, current);
      }
      return;
    case 'exists':
      if (current === null) {
        throw failed(`${name} does not exist.`, precondition, current);
      }
      return;
    case 'match':
      if (current === null || !precondition.tags.includes(current.tag)) {
        throw failed(
          current === null ? `${name} does not exist any more.` : `${name} was changed in the meantime.`,
          precondition,
          current,
        );
      }
      return;
    case 'none':
      if (current !== null) {
        throw new ServiceError(
          'precondition-required',
          'PRECONDITION_REQUIRED',
          `${name} exists. To change it, send \`If-Match\` with the \`ETag\` that you read, or \`If-Match: *\` to overwrite whatever is there.`,
        );
      }
  }
}

function failed(
  message: string,
  precondition: Precondition,
  current: { readonly tag: string; readonly item: unknown } | null,
): ServiceError {
  return new ServiceError(
    'precondition-failed',
    'PRECONDITION_FAILED',
    `${message} Read it again, and decide with what is there now.`,
    {
      details: {
        expected: precondition.kind === 'match' ? precondition.tags.map(toEtag) : null,
        current: current === null ? null : { etag: toEtag(current.tag), item: current.item },
      },
    },
  );
}
