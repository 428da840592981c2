/* Whether what was told of accounts was told once, and of what is true, by a judge that knows nothing of the engine. */

/** As it stands in the outbox. */
export interface ToldNotice {
  /** `limit.reached`, for example. */
  readonly type: string;
  /** Customer, feature and whom the feature counts for. */
  readonly account: string;
  /** JSON. */
  readonly data: string;
  /** Milliseconds of the database's clock. */
  readonly at: number;
}

interface NoticeData {
  readonly used: number;
  readonly limit: number | null;
  readonly level?: number;
  readonly period: { readonly start: string } | null;
  readonly previous?: { readonly start: string | null };
}

/** An account after a change; its limit as it was known then. */
export interface ToldAccount {
  readonly account: string;
  /** Milliseconds; `null`: its period never ends. */
  readonly periodStart: number | null;
  readonly used: number;
  readonly limit: number | null;
}

export class NoticeJudge {
  /** Accounts whose limits rise and fall without anybody seeing it: what is told of them may be told again. */
  readonly #unseen: ReadonlySet<string>;
  readonly #told = new Set<string>();
  /** Of what was told, by account and period, what may not be told again as long as no larger limit comes. */
  readonly #standing = new Map<string, Set<string>>();
  /** By account and period: the largest limit that something was told of. */
  readonly #limits = new Map<string, number>();
  /** By account and period: when something was told of it last. */
  readonly #lastAt = new Map<string, number>();

  constructor(unseen: readonly string[] = []) {
    this.#unseen = new Set(unseen);
  }

  /** In the order in which they were written. */
  hear({ type, account, data, at }: ToldNotice): readonly string[] {
    const facts = JSON.parse(data) as NoticeData;
    const start = facts.period === null ? null : Date.parse(facts.period.start);
    const period = periodOf(account, start);
    if (type === 'limit.reset') return this.#hearReset(account, period, facts);
    const limit = facts.limit ?? Number.POSITIVE_INFINITY;
    const name = `${period} ${type} ${facts.level}`;
    const violations = isTrue(type, facts, limit) ? [] : [`${name} was told at ${facts.used} of ${limit}.`];
    this.#meetLimit(period, limit);
    this.#passTime(period, at);
    const standing = this.#standing.get(period) ?? new Set<string>();
    if (standing.has(name) && !this.#unseen.has(account)) violations.push(`${name} was told twice.`);
    this.#standing.set(period, standing.add(name));
    this.#told.add(name);
    this.#limits.set(period, Math.max(limit, this.#limits.get(period) ?? 0));
    return violations;
  }

  /** An hour after anything was told of an account, the same may be due again. */
  #passTime(period: string, at: number): void {
    const before = this.#lastAt.get(period);
    if (before !== undefined && at - before >= 3_600_000) this.#standing.delete(period);
    this.#lastAt.set(period, at);
  }

  /** Another limit, that is used up for itself. */
  #meetLimit(period: string, limit: number): void {
    const before = this.#limits.get(period);
    if (before === undefined || limit <= before) return;
    this.#limits.set(period, limit);
    this.#standing.delete(period);
  }

  #hearReset(account: string, period: string, { previous }: NoticeData): readonly string[] {
    const name = `${period} limit.reset`;
    const violations = this.#told.has(name) ? [`${name} was told twice.`] : [];
    const before =
      previous?.start === undefined || previous.start === null ? null : Date.parse(previous.start);
    if (!this.#limits.has(periodOf(account, before))) violations.push(`${name} was told after nothing else.`);
    this.#told.add(name);
    return violations;
  }

  /** INVARIANT: no crossing goes untold. */
  see({ account, periodStart, used, limit }: ToldAccount): readonly string[] {
    if (limit === null) return [];
    const period = periodOf(account, periodStart);
    this.#meetLimit(period, limit);
    const missing = (type: string, is: boolean) => is && !this.#told.has(`${period} ${type} 100`);
    // Where nothing is allowed only `exceeded` is told; a limit that rises from there to what is used was gone beyond already.
    const isBeyond = this.#told.has(`${period} limit.exceeded 100`);
    return [
      ...(missing('limit.reached', limit > 0 && used >= limit && !isBeyond)
        ? [`${period} was never told reached.`]
        : []),
      ...(missing('limit.exceeded', used > limit) ? [`${period} was never told exceeded.`] : []),
    ];
  }
}

function periodOf(account: string, start: number | null): string {
  return `${account} from ${start}`;
}

function isTrue(type: string, { used, level = 100 }: NoticeData, limit: number): boolean {
  switch (type) {
    case 'limit.warned':
      return used * 100 >= limit * level;
    case 'limit.reached':
      return used >= limit;
    default:
      return used > limit;
  }
}
