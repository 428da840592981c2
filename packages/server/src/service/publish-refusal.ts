import type { PublishPlan, Refusal } from './publish-plan.js';
import { type FaultKind, ServiceError } from './service-error.js';

interface RefusalFault {
  readonly kind: FaultKind;
  readonly code: string;
  readonly message: string;
}

const REFUSALS: Readonly<Record<Refusal, RefusalFault>> = {
  'invalid-document': {
    kind: 'unprocessable',
    code: 'INVALID_CATALOG',
    message: 'The document is refused whole; `errors` names every fault with its place.',
  },
  'not-found': { kind: 'not-found', code: 'ITEM_NOT_FOUND', message: 'There is no such item.' },
  exists: { kind: 'conflict', code: 'ALREADY_EXISTS', message: 'The item exists already.' },
  'precondition-required': {
    kind: 'precondition-required',
    code: 'PRECONDITION_REQUIRED',
    message: 'Changing an existing item needs `If-Match`.',
  },
  conflict: {
    kind: 'precondition-failed',
    code: 'CHANGED_MEANWHILE',
    message:
      'Others changed the same items meanwhile; `conflicts` has both sides of each. Decide with what is there now, and send it again.',
  },
  'in-use': { kind: 'conflict', code: 'STILL_IN_USE', message: 'What is to be removed is still in use.' },
  frozen: {
    kind: 'conflict',
    code: 'FROZEN',
    message: 'What is published and sold cannot change under those who have it.',
  },
  assertion: {
    kind: 'unprocessable',
    code: 'ASSERTION_FAILED',
    message: 'Assertions of the catalog do not hold on the outcome; nothing was published.',
  },
};

/** The typed fault of a plan that may not be published; `null` when it may. */
export function refusalOf(plan: PublishPlan): ServiceError | null {
  if (plan.refusal === null) return null;
  const { kind, code, message } = REFUSALS[plan.refusal];
  const [only, another] = plan.errors;
  const text =
    only !== undefined && another === undefined && plan.refusal !== 'invalid-document'
      ? only.message
      : message;
  return new ServiceError(kind, code, text, {
    items: plan.errors,
    details: plan.conflicts.length > 0 ? { conflicts: plan.conflicts } : {},
  });
}
