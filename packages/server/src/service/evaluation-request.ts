import type { EvaluationContext, Subject } from '@pennon/engine/model/context';
import type { Instant } from '@pennon/engine/model/customer';
import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import { type NamedParts, namedParts } from '@pennon/engine/subject/named-parts';
import {
  askedKeys,
  type Credential as EngineCredential,
  resolveSubject,
} from '@pennon/engine/subject/resolve-subject';
import { awaitConsistency } from './consistency.js';
import type { Credential } from './credential.js';
import { isSubjectPoint } from './customer-states.js';
import type {
  Clock,
  CustomerLookup,
  CustomerLookupResult,
  CustomerStates,
  Directory,
  EnvironmentVersions,
  Snapshots,
} from './ports.js';
import { evaluationScopeOf } from './scope.js';
import { ServiceError } from './service-error.js';

export interface EvaluationDependencies {
  readonly directory: Directory;
  readonly snapshots: Snapshots;
  readonly customers: CustomerStates;
  readonly clock: Clock;
  /** The instant up to which every committed change is known to this process. */
  readonly knownUntil: () => Instant;
}

export interface EvaluationInput {
  /** The raw context, an object. */
  readonly context: Readonly<Record<string, unknown>>;
  /** `Pennon-Product`, `Pennon-Environment` and `Pennon-Consistency` as sent. */
  readonly product: string | undefined;
  readonly environment: string | undefined;
  readonly consistency: string | undefined;
  /** What was read of users, teams, instances and shared grants before these is read again. */
  readonly atLeast?: EnvironmentVersions;
  /** Balances are read under a lock before anything is decided. */
  readonly balancesUnderLock?: true;
}

/** Of which state an answer is. */
export interface EvaluationStamp {
  readonly revision: number;
  readonly customerVersion: number;
  readonly asOf: Instant;
}

export interface PreparedEvaluation {
  readonly environmentId: string;
  readonly productId: string;
  /** `null`: nothing was ever published there, so there are no flags and no features. */
  readonly request: EvaluationRequest<Snapshot> | null;
  readonly stamp: EvaluationStamp;
  /** How fresh the facts are that have no version of the customer's. */
  readonly versions: EnvironmentVersions;
}

const CONSISTENCY_MILLISECONDS = 1500;

/**
 * Identity, state, snapshot and clock of one evaluation. Synchronous when all that is asked for is in memory: the warm path
 * has no promise in it (law 1).
 */
export function prepareEvaluation(
  dependencies: EvaluationDependencies,
  credential: Credential,
  input: EvaluationInput,
): PreparedEvaluation | Promise<PreparedEvaluation> {
  const { environment, product } = evaluationScopeOf(dependencies.directory, credential, input);
  const scope = { environmentId: environment.id, productId: product.id };
  if (input.consistency === undefined) {
    return prepareInScope(dependencies, credential, input, scope);
  }
  const reach = { ...scope, mayKnow: (key: string) => mayKnow(credential, key) };
  return awaitConsistency(dependencies, input.consistency, reach, CONSISTENCY_MILLISECONDS).then(() =>
    prepareInScope(dependencies, credential, input, scope),
  );
}

/**
 * INVARIANT: whether and since when a customer exists is told only to who may know that customer. Users, teams and instances
 * have no version that a wait could give away.
 */
function mayKnow(credential: Credential, customerKey: string): boolean {
  switch (credential.kind) {
    case 'admin':
    case 'server':
      return true;
    case 'client':
      return false;
    case 'customer-token':
      return customerKey === credential.customerKey || isSubjectPoint(customerKey);
  }
}

interface Scope {
  readonly environmentId: string;
  readonly productId: string;
}

function prepareInScope(
  dependencies: EvaluationDependencies,
  credential: Credential,
  input: EvaluationInput,
  scope: Scope,
): PreparedEvaluation | Promise<PreparedEvaluation> {
  const read = namedParts(contextFor(credential, input.context));
  if (!read.ok) {
    throw new ServiceError('invalid', read.code, read.message);
  }
  const asker = askerOf(credential);
  const { context, named } = read;
  const who: Who = { asker, context, named };
  if (asker === 'client') {
    return assemble(dependencies, scope, who, null);
  }
  const lookup = dependencies.customers.lookup(lookupOf(asker, named, scope, input));
  if (!(lookup instanceof Promise)) {
    return assemble(dependencies, scope, who, lookup);
  }
  return lookup.then(
    (result) => assemble(dependencies, scope, who, result),
    (error: unknown) => {
      // Unreachable is not unknown: the decision is made without the customer, and whatever needs it fails (law 1).
      if (error instanceof ServiceError && error.kind === 'unavailable') {
        return assemble(dependencies, scope, who, 'unavailable');
      }
      throw error;
    },
  );
}

/** A token that names an instance speaks for that one, whatever the context says. */
function contextFor(credential: Credential, context: EvaluationInput['context']): EvaluationInput['context'] {
  return credential.kind === 'customer-token' && credential.instanceKey !== null
    ? { ...context, instance: undefined, instanceId: credential.instanceKey }
    : context;
}

interface Who {
  readonly asker: EngineCredential;
  readonly context: EvaluationContext;
  readonly named: NamedParts;
}

function askerOf(credential: Credential): EngineCredential {
  switch (credential.kind) {
    case 'admin':
    case 'server':
      return 'server';
    case 'client':
      return 'client';
    case 'customer-token':
      return { token: { customer: credential.customerKey, user: credential.userKey } };
  }
}

function lookupOf(
  asker: EngineCredential,
  named: NamedParts,
  scope: Scope,
  { atLeast, balancesUnderLock }: EvaluationInput,
): CustomerLookup {
  const asked = askedKeys(asker, named);
  const token = typeof asker === 'object' ? asker.token : null;
  return {
    environmentId: scope.environmentId,
    productId: scope.productId,
    customerKeys: token === null ? asked.customers : [token.customer],
    instanceRef: asked.instance,
    userKeys: token === null ? asked.users : token.user === null ? [] : [token.user],
    teamKey: named.teamKey,
    ...(atLeast === undefined ? {} : { atLeast }),
    ...(balancesUnderLock === undefined ? {} : { balancesUnderLock }),
  };
}

const NOTHING_FOUND = {
  customers: new Set<string>(),
  instance: null,
  customersOfUsers: new Map<string, readonly string[]>(),
} as const;

const NOTHING_READ: EnvironmentVersions = { subjects: -1, shared: -1 };

/** @param found `null` where nobody was looked up, because nobody is proven. */
function assemble(
  dependencies: EvaluationDependencies,
  scope: Scope,
  who: Who,
  found: CustomerLookupResult | 'unavailable' | null,
): PreparedEvaluation {
  const known = found === null || found === 'unavailable' ? null : found;
  const resolved = resolveSubject({
    credential: who.asker,
    context: who.context,
    named: who.named,
    lookup:
      known === null
        ? NOTHING_FOUND
        : {
            customers: known.customers,
            instance: known.instance,
            customersOfUsers: known.customersOfUsers,
          },
  });
  if (!resolved.ok) {
    throw new ServiceError('invalid', resolved.code, resolved.message);
  }
  const { subject, context } = resolved;
  const customer = found === 'unavailable' ? 'unavailable' : stateOf(known, subject);
  const snapshot = dependencies.snapshots.current(scope.productId, scope.environmentId);
  const now = dependencies.clock.now();
  return {
    environmentId: scope.environmentId,
    productId: scope.productId,
    request: snapshot === null ? null : { snapshot, customer, subject, context, now },
    stamp: {
      revision: snapshot?.revision ?? 0,
      customerVersion: customer === null || customer === 'unavailable' ? 0 : customer.version,
      // What others changed after that may be missing, however long the database is away.
      asOf: Math.min(now, dependencies.knownUntil()),
    },
    versions: known === null ? NOTHING_READ : known.versions,
  };
}

function stateOf(found: CustomerLookupResult | null, subject: Subject) {
  if (found === null) return null;
  return subject.customerKey === null ? found.stateOfNobody() : found.stateOf(subject.customerKey);
}
