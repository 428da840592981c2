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
/** So many times something is kept before all of it is given up: no more contexts than that are held. */
const KEPT_CONTEXTS = 1000;
const LONGEST_CONTEXT = 1000;

interface Kept {
  readonly product: string | undefined;
  readonly environment: string | undefined;
  readonly known: KnownCustomer;
  readonly until: number;
}

export function createRecentPreparations(
  snapshots: Pick<Snapshots, 'current'>,
  now: () => number = () => performance.now(),
): RecentPreparations {
  /** By the key that asks and the context: both texts are there, and none has to be made to look up what is kept. */
  const kept = new Map<string, Map<string, readonly Kept[]>>();
  let kepts = 0;
  return {
    find(credential, input, contextText) {
      if (!isKept(credential, input, contextText)) {
        return undefined;
      }
      const found = kept
        .get(credential.keyId)
        ?.get(contextText)
        ?.find((one) => isOf(one, input));
      if (found === undefined) {
        return undefined;
      }
      const { scope, evaluation } = found.known;
      const current = snapshots.current(scope.productId, scope.environmentId) === evaluation.snapshot;
      return current && now() < found.until ? found.known : undefined;
    },
    keep(credential, input, contextText, known) {
      if (!isKept(credential, input, contextText)) {
        return;
      }
      if (kepts >= KEPT_CONTEXTS) {
        kept.clear();
        kepts = 0;
      }
      let ofKey = kept.get(credential.keyId);
      if (ofKey === undefined) {
        ofKey = new Map();
        kept.set(credential.keyId, ofKey);
      }
      const others = (ofKey.get(contextText) ?? []).filter((one) => !isOf(one, input));
      const { product, environment } = input;
      ofKey.set(contextText, [...others, { product, environment, known, until: now() + KEPT_MILLISECONDS }]);
      kepts += 1;
    },
    forget() {
      kept.clear();
      kepts = 0;
    },
  };
}

function isOf(kept: Kept, { product, environment }: EvaluationInput): boolean {
  return kept.product === product && kept.environment === environment;
}

/** A question with a promise about freshness, or of a customer's token, is prepared anew each time. */
function isKept(
  credential: Credential,
  input: EvaluationInput,
  contextText: string,
): credential is Exclude<Credential, { kind: 'customer-token' }> {
  return (
    credential.kind !== 'customer-token' &&
    input.consistency === undefined &&
    contextText.length <= LONGEST_CONTEXT
  );
}
