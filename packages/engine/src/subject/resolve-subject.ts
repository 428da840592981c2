import type { EvaluationContext, Subject, SubjectInstance } from '../model/context.js';
import type { JsonObject } from '../model/json.js';
import type { InvalidContext, NamedParts } from './named-parts.js';

/** What asks: a server key, a client key, or a client key with a customer token. */
export type Credential =
  | 'server'
  | 'client'
  | { readonly token: { readonly customer: string; readonly user: string | null } };

/** What the store knows of the keys that a context names; see `askedKeys`. */
export interface SubjectLookup {
  /** Which of the asked keys are customers. */
  readonly customers: Pick<ReadonlySet<string>, 'has'>;
  readonly instance: {
    readonly id: string;
    readonly key: string;
    readonly customerKey: string;
    readonly metadata: JsonObject;
  } | null;
  /** The customers that an asked user belongs to, by user key. */
  readonly customersOfUsers: ReadonlyMap<string, readonly string[]>;
}

export interface SubjectInput {
  readonly credential: Credential;
  readonly context: EvaluationContext;
  readonly named: NamedParts;
  readonly lookup: SubjectLookup;
}

export type SubjectResult =
  /** `context` is the one to evaluate: a token's customer and user stand in it instead of those that were sent. */
  { readonly ok: true; readonly subject: Subject; readonly context: EvaluationContext } | InvalidContext;

/** What must be looked up before a subject can be resolved; nothing where a client key has no token. */
export function askedKeys(
  credential: Credential,
  named: NamedParts,
): {
  readonly customers: readonly string[];
  readonly users: readonly string[];
  readonly instance: string | null;
} {
  if (credential === 'client') return { customers: [], users: [], instance: null };
  if (credential !== 'server') return { customers: [], users: [], instance: named.instanceRef };
  const { customerKey, teamKey, targetingKey } = named;
  const customers: string[] = [];
  if (customerKey !== null) customers.push(customerKey);
  if (teamKey !== null && teamKey !== customerKey) customers.push(teamKey);
  if (targetingKey !== null && targetingKey !== customerKey && targetingKey !== teamKey) {
    customers.push(targetingKey);
  }
  const user = named.userKey ?? targetingKey;
  return { customers, users: user === null ? [] : [user], instance: named.instanceRef };
}

const NOBODY: Subject = {
  proven: false,
  customerKey: null,
  instance: null,
  userKey: null,
  teamKey: null,
  sku: null,
};

/**
 * Who is asked about (DESIGN: who is asked about). A client key without a token names nobody; a token speaks for one customer;
 * with a server key every part that names somebody must name the same customer.
 */
export function resolveSubject(input: SubjectInput): SubjectResult {
  if (input.credential === 'client') return { ok: true, subject: NOBODY, context: input.context };
  if (input.credential !== 'server') return ofToken(input, input.credential.token);
  return ofServerKey(input);
}

/** INVARIANT: an instance counts for a token only where it is the token's customer's; a name alone proves nothing. */
function ofToken(
  { context, named, lookup }: SubjectInput,
  token: { readonly customer: string; readonly user: string | null },
): SubjectResult {
  const found = lookup.instance;
  const instance = found !== null && found.customerKey === token.customer ? instanceOf(found) : null;
  const sent = context.parts['user'];
  const user = token.user === null ? {} : { user: { ...(sent as JsonObject | undefined), key: token.user } };
  const parts = { ...context.parts, customer: { key: token.customer }, ...user };
  const claimed =
    named.teamKey === null || named.teamKey === token.customer ? {} : { teamClaimed: true as const };
  return {
    ok: true,
    subject: {
      proven: true,
      customerKey: token.customer,
      instance,
      userKey: token.user,
      teamKey: named.teamKey,
      ...claimed,
      sku: null,
    },
    context: { ...context, parts },
  };
}

function instanceOf({ id, key, metadata }: NonNullable<SubjectLookup['instance']>): SubjectInstance {
  return { id, key, metadata };
}

/** One part of the context with the customers that it may mean; never none. */
interface Claim {
  readonly part: 'instance' | 'customer' | 'user' | 'team' | 'targetingKey';
  readonly key: string;
  readonly customers: readonly string[];
}

const NO_CUSTOMERS: readonly string[] = [];

function claimsOf(
  named: NamedParts,
  lookup: SubjectLookup,
): { readonly claims: readonly Claim[]; readonly userKey: string | null } {
  const claims: Claim[] = [];
  const { instanceRef, customerKey, teamKey, targetingKey } = named;
  if (lookup.instance !== null) {
    claims.push({ part: 'instance', key: instanceRef ?? '', customers: [lookup.instance.customerKey] });
  }
  if (customerKey !== null) claims.push({ part: 'customer', key: customerKey, customers: [customerKey] });
  if (named.userKey !== null) claimOfUser(claims, 'user', named.userKey, lookup);
  if (teamKey !== null && lookup.customers.has(teamKey)) {
    claims.push({ part: 'team', key: teamKey, customers: [teamKey] });
  }
  let { userKey } = named;
  if (targetingKey !== null) {
    if (lookup.customers.has(targetingKey)) {
      claims.push({ part: 'targetingKey', key: targetingKey, customers: [targetingKey] });
    } else if (userKey === null && claimOfUser(claims, 'targetingKey', targetingKey, lookup)) {
      userKey = targetingKey;
    }
  }
  return { claims, userKey };
}

/** Whether the user belongs to anybody. */
function claimOfUser(
  claims: Claim[],
  part: 'user' | 'targetingKey',
  key: string,
  lookup: SubjectLookup,
): boolean {
  const customers = lookup.customersOfUsers.get(key) ?? NO_CUSTOMERS;
  if (customers.length > 0) claims.push({ part, key, customers });
  return customers.length > 0;
}

function listed(keys: readonly string[]): string {
  return keys.map((key) => `\`${key}\``).join(', ');
}

/** Where nobody known is named, the key that names a customer still to come. */
function strangerOf(named: NamedParts): string | null {
  return named.customerKey ?? named.teamKey ?? named.targetingKey;
}

function intersection(claims: readonly Claim[]): readonly string[] {
  const [first] = claims;
  if (first === undefined || claims.length === 1) return first?.customers ?? NO_CUSTOMERS;
  return first.customers.filter((key) => claims.every(({ customers }) => customers.includes(key)));
}

function ofServerKey({ context, named, lookup }: SubjectInput): SubjectResult {
  const { claims, userKey } = claimsOf(named, lookup);
  const common = claims.length === 0 ? null : intersection(claims);
  if (common !== null && common.length !== 1) {
    const said = claims
      .map(({ part, key, customers }) => `${part} \`${key}\` means ${listed(customers)}`)
      .join('; ');
    const next = common.length === 0 ? 'send parts of one customer only' : 'say which one with `customer`';
    return {
      ok: false,
      code: 'INVALID_CONTEXT',
      message: `The context does not name one customer: ${said}; ${next}.`,
    };
  }
  const instance =
    lookup.instance !== null
      ? instanceOf(lookup.instance)
      : named.instanceRef === null
        ? null
        : { id: null, key: named.instanceRef, metadata: {} };
  const customerKey = common?.[0] ?? strangerOf(named);
  return {
    ok: true,
    subject: { proven: true, customerKey, instance, userKey, teamKey: named.teamKey, sku: named.sku },
    context,
  };
}
