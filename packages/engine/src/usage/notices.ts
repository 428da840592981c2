import type { Instant } from '../model/customer.js';
import { LIMITS, UNLIMITED_AS_INTEGER } from '../model/limits.js';

/*
 * What is told of an account as its usage moves: once for each crossing. A level is told when what is used (never what is held) comes to
 * it, and not again while it stays there. It may be told again once usage has been below it, at the earliest an hour after anything was
 * told of the account, so that a seat that is given and taken all day long is no flood; at once, where the limit is larger than any that
 * something was told of, because then it is another limit that is used up. All that was told belongs to a period.
 */

/** `limit.warned`: a percentage that the feature names. `reached`: all of the limit is used. `exceeded`: more than it. */
export type NoticeKind = 'warned' | 'reached' | 'exceeded';

export interface NoticeLevel {
  readonly kind: NoticeKind;
  /** Of the limit; for `exceeded`, the one that is exceeded. */
  readonly percent: number;
  /** Levels in the order in which usage that grows comes to them. */
  readonly rank: number;
}

/** What was told of an account in its current period. */
export interface Told {
  /** The rank of the highest level that stands as told; 0: none. */
  readonly rank: number;
  /** When something was told last; `null`: nothing was. */
  readonly at: Instant | null;
  /** The largest limit that something was told of, or was taken back for. */
  readonly limit: number;
}

export const NOTHING_TOLD: Told = { rank: 0, at: null, limit: 0 };

export interface NoticeQuestion {
  readonly levels: readonly NoticeLevel[];
  readonly told: Told;
  /** Now in force; `null`: none. */
  readonly limit: number | null;
  /** As it stood before, in the same period; the same as `used` where only the limit changed. */
  readonly usedBefore: number;
  readonly used: number;
  readonly now: Instant;
}

export interface NoticeAnswer {
  /** To be told now, in this order. */
  readonly notices: readonly NoticeLevel[];
  readonly told: Told;
}

const RANKS_PER_PERCENT = 10;
const AGAIN_MILLISECONDS = LIMITS.noticeAgainSeconds.value * 1000;
/** Below it a number holds hundredths of a thousand percent of it. */
const EXACT = 100_000_000_000;

/** @param warnAt percentages, in any order, as the feature names them */
export function noticeLevels(warnAt: readonly number[]): readonly NoticeLevel[] {
  const levels: NoticeLevel[] = [...new Set(warnAt)].map((percent) => ({
    kind: 'warned',
    percent,
    rank: percent * RANKS_PER_PERCENT,
  }));
  levels.push({ kind: 'reached', percent: 100, rank: 100 * RANKS_PER_PERCENT + 1 });
  levels.push({ kind: 'exceeded', percent: 100, rank: 100 * RANKS_PER_PERCENT + 2 });
  return levels.sort((left, right) => left.rank - right.rank);
}

/** The least that is used where a level is come to. Where nothing is allowed there is nothing to come near to, only something to exceed. */
export function levelAmount({ kind, percent }: NoticeLevel, limit: number | null): number {
  if (limit === null) return Number.POSITIVE_INFINITY;
  if (kind === 'exceeded') return Math.max(0, limit) + 1;
  if (limit <= 0) return Number.POSITIVE_INFINITY;
  return limit < EXACT
    ? Math.max(1, Math.ceil((limit * percent) / 100))
    : Number((BigInt(limit) * BigInt(percent) + 99n) / 100n);
}

/**
 * Which notices follow from a change, and what stands as told after it. INVARIANT: every level that usage stands at or above stands as
 * told afterwards, so that no crossing goes untold, and none of them was told twice without usage below it in between.
 */
export function decideNotices(question: NoticeQuestion): NoticeAnswer {
  const { levels, limit, used, now } = question;
  const told = takeBack(question);
  let notices: NoticeLevel[] | null = null;
  for (const level of levels) {
    if (level.rank > told.rank && used >= levelAmount(level, limit)) {
      notices ??= [];
      notices.push(level);
    }
  }
  const last = notices?.at(-1);
  if (notices === null || last === undefined) return { notices: [], told };
  return {
    notices,
    told: { rank: last.rank, at: now, limit: Math.max(told.limit, limitNumber(limit)) },
  };
}

/** What stands as told falls to what usage came down to, where it may be told again. */
function takeBack({ levels, told, limit, usedBefore, used, now }: NoticeQuestion): Told {
  if (told.rank === 0) return told;
  const isLarger = limitNumber(limit) > told.limit;
  if (!isLarger && told.at !== null && now - told.at < AGAIN_MILLISECONDS) return told;
  const lowest = Math.min(usedBefore, used);
  const rank = Math.min(told.rank, rankAt(levels, limit, lowest));
  if (rank === told.rank) return told;
  return { ...told, rank, limit: Math.max(told.limit, limitNumber(limit)) };
}

function rankAt(levels: readonly NoticeLevel[], limit: number | null, used: number): number {
  let rank = 0;
  for (const level of levels) {
    if (used >= levelAmount(level, limit)) rank = level.rank;
  }
  return rank;
}

function limitNumber(limit: number | null): number {
  return limit ?? UNLIMITED_AS_INTEGER;
}

/** Whether the period that follows is told of: it is where anything was told in the one that is over, however many lie between. */
export function tellsReset(told: Told): boolean {
  return told.at !== null;
}
