import type { Credential } from './credential.js';
import type { EvaluationInput } from './evaluation-request.js';
import type { KnownCustomer } from './known-customer.js';
import type { Snapshots } from './ports.js';

/**
 * What consumes with one context were prepared with a moment ago: a hot customer is asked about thousands of times a second with the same
 * context. A consume may rest on it, because under its locks it compares the versions of all that an evaluation reads with the store's
 * (law 2), and takes clock and balances from there. Evaluations without that comparison must not.
 */
export interface RecentPreparations {
  find(credential: Credential, input: EvaluationInput, contextText: string): KnownCustomer | undefined;
  keep(credential: Credential, input: EvaluationInput, contextText: string, known: KnownCustomer): void;
  /** Something newer was found in the store: whatever is kept may be older than that. */
  forget(): void;
}

/** What has no version, as which product a key for all products means, is seen again after this. */
const KEPT_MILLISECONDS = 1000;
const KEPT_CONTEXTS = 1000;
const LONGEST_CONTEXT = 1000;

interface Kept {
  readonly known: KnownCustomer;
  readonly until: number;
}

export function createRecentPreparations(
  snapshots: Pick<Snapshots, 'current'>,
  now: () => number = () => performance.now(),
): RecentPreparations {
  const kept = new Map<string, Kept>();
  return {
    find(credential, input, contextText) {
      const name = nameOf(credential, input, contextText);
      const found = name === null ? undefined : kept.get(name);
      if (found === undefined) {
        return undefined;
      }
      const { scope, evaluation } = found.known;
      const current = snapshots.current(scope.productId, scope.environmentId) === evaluation.snapshot;
      return current && now() < found.until ? found.known : undefined;
    },
    keep(credential, input, contextText, known) {
      const name = nameOf(credential, input, contextText);
      if (name === null) {
        return;
      }
      if (kept.size >= KEPT_CONTEXTS) {
        kept.clear();
      }
      kept.set(name, { known, until: now() + KEPT_MILLISECONDS });
    },
    forget() {
      kept.clear();
    },
  };
}

/** `null`: a question with a promise about freshness, or of a customer's token, is prepared anew each time. */
function nameOf(credential: Credential, input: EvaluationInput, contextText: string): string | null {
  if (
    credential.kind === 'customer-token' ||
    input.consistency !== undefined ||
    contextText.length > LONGEST_CONTEXT
  ) {
    return null;
  }
  return `${credential.keyId}\n${input.product ?? ''}\n${input.environment ?? ''}\n${contextText}`;
}
