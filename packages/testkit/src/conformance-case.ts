/* A case of `conformance/` that is asked over HTTP, as its file has it. */

export interface CaseSpan {
  readonly startsAt?: string;
  readonly endsAt?: string;
}

export interface CaseLot extends CaseSpan {
  readonly as: string;
  readonly feature: string;
  readonly amount: number;
  readonly kind?: string;
  readonly priority?: number;
}

export interface HttpCase {
  readonly name: string;
  readonly catalog: string;
  readonly environment?: string;
  readonly now: string;
  readonly clock?: 'real';
  readonly credential?:
    | 'server'
    | 'client'
    | { readonly token: { readonly customer: string; readonly user: string | null } };
  readonly customer?: {
    readonly key: string;
    readonly registered?: boolean;
    readonly createdAt?: string;
    readonly timeZone?: string;
    readonly attributes?: object;
    readonly users?: readonly string[];
    readonly instances?: readonly { readonly key: string; readonly metadata?: object }[];
    readonly licenses?: readonly (CaseSpan & {
      readonly id?: string;
      readonly plan: string;
      readonly version: number;
      readonly kind?: string;
      readonly status?: string;
      readonly graceEndsAt?: string;
      readonly sku?: string;
      readonly addons?: readonly object[];
      readonly earlier?: readonly {
        readonly plan: string;
        readonly version: number;
        readonly until: string;
      }[];
      readonly next?: {
        readonly plan: string;
        readonly version: number;
        readonly at: string;
        readonly anchor: string;
      };
    })[];
    readonly groups?: readonly (CaseSpan & { readonly group: string })[];
    readonly memberships?: readonly (CaseSpan & {
      readonly segment: string;
      readonly member: { readonly kind: string; readonly key: string };
    })[];
    readonly grants?: readonly (CaseSpan & {
      readonly id?: string;
      readonly kind?: string;
      readonly target: { readonly kind: string; readonly key: string };
      readonly effect: object;
    })[];
    readonly usage?: readonly {
      readonly feature: string;
      readonly scope?: string;
      readonly used: number;
      readonly reserved?: number;
      readonly periodStart?: string;
    }[];
    readonly lots?: readonly CaseLot[];
  };
  readonly context: unknown;
  readonly ask?: { readonly flag?: string; readonly entitlement?: string; readonly amount?: number };
  readonly expect?: Readonly<Record<string, unknown>> | null;
  readonly steps?: readonly {
    readonly consume?: Readonly<Record<string, unknown>>;
    readonly release?: Readonly<Record<string, unknown>>;
    readonly reserve?: Readonly<Record<string, unknown>> & { readonly as: string };
    readonly settle?: Readonly<Record<string, unknown>> & { readonly of: string };
    readonly releaseHold?: { readonly of: string };
    readonly topUp?: CaseLot;
    readonly void?: { readonly of: string; readonly key: string };
    /** Sets the clock: of those, none can be asked over HTTP. */
    readonly at?: string;
    readonly expect: Readonly<Record<string, unknown>>;
  }[];
}

/**
 * The case with every instant moved so that its `now` is now. Consumption follows the database's clock, which nobody sets; what is months
 * apart in a calendar may then be a day more or less.
 */
export function movedToNow(one: HttpCase, now: number): HttpCase {
  const by = now - Date.parse(one.now);
  const move = (value: unknown): unknown => {
    if (typeof value === 'string' && INSTANT.test(value))
      return new Date(Date.parse(value) + by).toISOString();
    if (Array.isArray(value)) return value.map(move);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, move(member)]));
  };
  return { ...(move(one) as HttpCase), clock: 'real' };
}

const INSTANT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z$/;
