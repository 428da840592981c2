import type { CustomerStates, Snapshots } from './ports.js';
import { ServiceError } from './service-error.js';

/** The header that a write answers with and a later read may carry. */
export const CONSISTENCY_HEADER = 'pennon-consistency';

export interface RevisionPoint {
  readonly productId: string;
  readonly environmentId: string;
  readonly revision: number;
}

export interface CustomerPoint {
  readonly environmentId: string;
  readonly customerKey: string;
  readonly version: number;
}

/** What a write left behind: a read that carries it is answered from something at least that new, or with 503. */
export interface ConsistencyPoint {
  readonly revisions: readonly RevisionPoint[];
  readonly customers: readonly CustomerPoint[];
}

const PREFIX = 'p1.';
/** A write moves a handful of environments or one customer; a header holds no more. */
const MAXIMUM_POINTS = 64;
const MAXIMUM_LENGTH = 8192;

/** Opaque and versioned: callers send it back as it is. */
export function encodeConsistency(point: Partial<ConsistencyPoint>): string {
  const body = {
    r: (point.revisions ?? [])
      .slice(0, MAXIMUM_POINTS)
      .map((one) => [one.productId, one.environmentId, one.revision]),
    c: (point.customers ?? [])
      .slice(0, MAXIMUM_POINTS)
      .map((one) => [one.environmentId, one.customerKey, one.version]),
  };
  return PREFIX + Buffer.from(JSON.stringify(body), 'utf8').toString('base64url');
}

/** Throws `invalid` / `BAD_CONSISTENCY_TOKEN` for anything that this software never issued. */
export function decodeConsistency(token: string): ConsistencyPoint {
  if (!token.startsWith(PREFIX) || token.length > MAXIMUM_LENGTH) throw badToken();
  let body: unknown;
  try {
    body = JSON.parse(Buffer.from(token.slice(PREFIX.length), 'base64url').toString('utf8'));
  } catch {
    throw badToken();
  }
  if (typeof body !== 'object' || body === null) throw badToken();
  const { r, c } = body as { readonly r?: unknown; readonly c?: unknown };
  return {
    revisions: triples(r).map(([productId, environmentId, revision]) => ({
      productId,
      environmentId,
      revision,
    })),
    customers: triples(c).map(([environmentId, customerKey, version]) => ({
      environmentId,
      customerKey,
      version,
    })),
  };
}

function triples(value: unknown): readonly (readonly [string, string, number])[] {
  if (!Array.isArray(value) || value.length > MAXIMUM_POINTS) throw badToken();
  return value.map((entry: unknown) => {
    if (!Array.isArray(entry) || entry.length !== 3) throw badToken();
    const [first, second, counter] = entry as readonly unknown[];
    if (typeof first !== 'string' || typeof second !== 'string') throw badToken();
    if (typeof counter !== 'number' || !Number.isSafeInteger(counter) || counter < 0) throw badToken();
    return [first, second, counter] as const;
  });
}

function badToken(): ServiceError {
  return new ServiceError(
    'invalid',
    'BAD_CONSISTENCY_TOKEN',
    '`Pennon-Consistency` is not a token that this server issued; send back exactly what a write answered, or leave the header out.',
  );
}

export interface ConsistencyScope {
  readonly environmentId: string;
  readonly productId: string | null;
  /** Of which customers the caller may learn; absent: of all. */
  readonly mayKnow?: (customerKey: string) => boolean;
}

/**
 * Waits until this process has seen everything that the token names within the caller's scope. What lies outside of it is
 * passed over in silence: anybody can write such a token, and it must not become a way to ask about others.
 */
export async function awaitConsistency(
  dependencies: { readonly snapshots: Snapshots; readonly customers: CustomerStates },
  token: string | undefined,
  scope: ConsistencyScope,
  deadlineMilliseconds: number,
): Promise<void> {
  if (token === undefined) return;
  const point = decodeConsistency(token);
  const waits: Promise<unknown>[] = [];
  for (const one of point.revisions) {
    if (one.environmentId !== scope.environmentId) continue;
    if (scope.productId !== null && one.productId !== scope.productId) continue;
    const { snapshots } = dependencies;
    waits.push(snapshots.atLeast(one.productId, one.environmentId, one.revision, deadlineMilliseconds));
  }
  for (const one of point.customers) {
    if (one.environmentId !== scope.environmentId || scope.mayKnow?.(one.customerKey) === false) continue;
    const { customers } = dependencies;
    waits.push(customers.atLeast(one.environmentId, one.customerKey, one.version, deadlineMilliseconds));
  }
  await Promise.all(waits);
}
