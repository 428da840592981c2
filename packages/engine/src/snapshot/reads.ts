/**
 * What an answer rests on (DESIGN: compiling records per key what it reads). ETags, caches, streams and the impact preview ask
 * this record instead of guessing.
 */
export interface Reads {
  /** Balances, by feature key: the answer moves with usage. */
  readonly usage: ReadonlySet<string>;
  /** The answer moves by time alone, beyond what `validUntil` says. */
  readonly now: boolean;
  /** Whether anything known of the customer takes part. */
  readonly customer: boolean;
  /** Context parts that the caller gives or the server overwrites, `targetingKey` among them. */
  readonly parts: ReadonlySet<string>;
  readonly entitlements: ReadonlySet<string>;
  readonly segments: ReadonlySet<string>;
  readonly flags: ReadonlySet<string>;
}

export const NO_READS: Reads = {
  usage: new Set(),
  now: false,
  customer: false,
  parts: new Set(),
  entitlements: new Set(),
  segments: new Set(),
  flags: new Set(),
};

function union(a: ReadonlySet<string>, b: ReadonlySet<string>): ReadonlySet<string> {
  if (b.size === 0) return a;
  if (a.size === 0) return b;
  return new Set([...a, ...b]);
}

export function mergeReads(a: Reads, b: Reads): Reads {
  if (a === NO_READS) return b;
  if (b === NO_READS) return a;
  return {
    usage: union(a.usage, b.usage),
    now: a.now || b.now,
    customer: a.customer || b.customer,
    parts: union(a.parts, b.parts),
    entitlements: union(a.entitlements, b.entitlements),
    segments: union(a.segments, b.segments),
    flags: union(a.flags, b.flags),
  };
}
